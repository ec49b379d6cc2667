"""The same weights through other runtimes of the CPU: ONNX Runtime and OpenVINO beside torch, in float32 and,
where it was proven on real images, in int8.

Nothing here knows what the weights mean: a model is exported at its first start on a machine, every runtime
that is installed (the extra `cpu`) is held against torch and timed, and the fastest one that says the same is
remembered in a folder (`choice`).
"""
