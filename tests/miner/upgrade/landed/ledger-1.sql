CREATE TABLE challenges (
    id TEXT NOT NULL, at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, caller TEXT NOT NULL,
    address TEXT NOT NULL, client_version TEXT NOT NULL, status INTEGER NOT NULL, outcome TEXT NOT NULL,
    size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    prediction REAL, log_odds REAL, certified INTEGER NOT NULL,
    path TEXT NOT NULL, versions TEXT NOT NULL, ms TEXT NOT NULL, margin_s REAL, notes TEXT NOT NULL
);
CREATE INDEX challenges_at ON challenges (at_ns);
CREATE TABLE payouts (
    at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, block INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (hotkey, block)
);
CREATE TABLE events (
    at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX events_at ON events (at_ns);
CREATE TABLE subnet_health (at_ns INTEGER NOT NULL, hotkey TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX subnet_health_at ON subnet_health (at_ns);
PRAGMA user_version = 1;
