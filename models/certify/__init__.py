"""Leaving the cascade early with a guarantee: the certificate, how it is tested for, what it promises.

`point`        what a certificate is for: the operating point, hashed
`certificate`  the file, and why one is void
`bounds`       p-values and sample sizes
`traces`       requests followed through the whole cascade
`ladder`       candidate thresholds, from select data
`sequence`     fixed-sequence, class-conditional learn-then-test
`mcc`          what the promise means for Matthews' correlation at a prior

The first two need no numpy, so that the engine can hold a certificate without it.
"""

from models.certify.certificate import Certificate, CertificateError, load
from models.certify.point import Member, OperatingPoint

__all__ = ["Certificate", "CertificateError", "Member", "OperatingPoint", "load"]
