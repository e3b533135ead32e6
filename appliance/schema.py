"""The tables of `crate.db`, as the steps that lead to them.

Each entry of `MIGRATIONS` takes the schema one `user_version` further; entries are never edited once released. Digests
of blobs are 32 raw bytes (sha256), digests of manifests the text that clients write, because a manifest is known by
the algorithm that named it. Times are whole seconds since 1970, UTC.
"""

from __future__ import annotations

_FIRST = """
-- An imported archive: packs/<digest>.crate, where digest is the sha256 of its crate.json.
CREATE TABLE packs (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    channel TEXT NOT NULL,
    serial INTEGER NOT NULL,
    created INTEGER NOT NULL,
    size INTEGER NOT NULL,
    signed BLOB NOT NULL,
    signatures TEXT NOT NULL,
    imported_at INTEGER NOT NULL
) STRICT;

-- The one holder of each blob: a pack at an offset, or (pack NULL) loose/sha256/ab/<hex>.
CREATE TABLE blobs (
    digest BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    pack INTEGER REFERENCES packs (id),
    offset INTEGER NOT NULL,
    touched INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_by_pack ON blobs (pack, offset);

-- Other digests of the same bytes (sha512:…).
CREATE TABLE aliases (
    alias TEXT PRIMARY KEY,
    digest BLOB NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_digest ON aliases (digest);

-- Every blob that a pack's index names, whoever holds it.
CREATE TABLE pack_blobs (
    pack INTEGER NOT NULL REFERENCES packs (id) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    PRIMARY KEY (pack, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX pack_blobs_by_digest ON pack_blobs (digest);

-- dated: what its documents are dated. That of the newest content, and later than all generations before it.
CREATE TABLE generations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    activated_at INTEGER NOT NULL,
    dated INTEGER NOT NULL,
    active INTEGER NOT NULL CHECK (active IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX one_generation_is_active ON generations (active) WHERE active = 1;

-- active 1: what this generation publishes; 0: kept because an active pack's blobs lie in it.
CREATE TABLE generation_packs (
    generation INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    pack INTEGER NOT NULL REFERENCES packs (id),
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    PRIMARY KEY (generation, pack)
) STRICT, WITHOUT ROWID;
CREATE INDEX generation_packs_by_pack ON generation_packs (pack);

CREATE TABLE published_tags (
    generation INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (generation, repository, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE published_manifests (
    generation INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    subject TEXT NOT NULL DEFAULT '',
    artifact_type TEXT NOT NULL DEFAULT '',
    annotations TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (generation, repository, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX published_referrers ON published_manifests (generation, repository, subject) WHERE subject <> '';

CREATE TABLE published_blobs (
    generation INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (generation, repository, digest)
) STRICT, WITHOUT ROWID;

-- Paths from the server's root. accepts: the media types, joined by commas, that a client asks for this variant by;
-- empty for the default one. The digest is a blob's or a document's. modified: since when the path has this content.
CREATE TABLE published_files (
    generation INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    accepts TEXT NOT NULL DEFAULT '',
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    origin_bound INTEGER NOT NULL DEFAULT 0 CHECK (origin_bound IN (0, 1)),
    modified INTEGER NOT NULL,
    PRIMARY KEY (generation, path, accepts)
) STRICT, WITHOUT ROWID;

-- What the crate makes itself to be served at paths: indexes, signatures, pages.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL
) STRICT;

-- How many different items of each kind a generation publishes.
CREATE TABLE published_items (
    generation INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    items INTEGER NOT NULL,
    PRIMARY KEY (generation, kind)
) STRICT, WITHOUT ROWID;

-- The lowest release of a name that may still be activated, and the sha256 of its crate.json.
CREATE TABLE floors (
    name TEXT PRIMARY KEY,
    serial INTEGER NOT NULL,
    digest TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What people push, outside of generations.
CREATE TABLE manifests (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    subject TEXT NOT NULL DEFAULT '',
    artifact_type TEXT NOT NULL DEFAULT '',
    annotations TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX referrers ON manifests (repository, subject) WHERE subject <> '';

CREATE TABLE tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (repository, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE repository_blobs (
    repository TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_blobs_by_digest ON repository_blobs (digest);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    created INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- What the registry serves: the active generation's, then what people pushed. A crate's (pushed 0) comes first.
CREATE VIEW held_tags AS
    SELECT repository, tag, digest, 0 AS pushed FROM published_tags
    WHERE generation = (SELECT id FROM generations WHERE active = 1)
    UNION ALL SELECT repository, tag, digest, 1 FROM tags;

CREATE VIEW held_manifests AS
    SELECT repository, digest, media_type, size, subject, artifact_type, annotations, 0 AS pushed
    FROM published_manifests WHERE generation = (SELECT id FROM generations WHERE active = 1)
    UNION ALL SELECT repository, digest, media_type, size, subject, artifact_type, annotations, 1 FROM manifests;

CREATE VIEW held_blobs AS
    SELECT repository, digest FROM published_blobs
    WHERE generation = (SELECT id FROM generations WHERE active = 1)
    UNION ALL SELECT repository, digest FROM repository_blobs;
"""

_REQUESTS = """
-- What was asked for and not there. brought_by: the address that asked first; asked_by: the latest ones, by spaces.
CREATE TABLE requests (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    brought_by TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
"""

_ACCESS = """
-- password: see appliance.passwords. stamp rises with every change of the user.
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    password TEXT NOT NULL,
    role TEXT NOT NULL,
    created INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    stamp INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- holder: user:<name> or token:<id>.
CREATE TABLE rights (
    holder TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('publish', 'read')),
    pattern TEXT NOT NULL,
    PRIMARY KEY (holder, action, pattern)
) STRICT, WITHOUT ROWID;

-- What only those with rights may read.
CREATE TABLE private_names (
    pattern TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

ALTER TABLE tokens ADD COLUMN expires INTEGER;
"""

_ITEMS = """
-- What a generation publishes, item by item; brought_by: a crate ("site 7"), or whoever published it here.
CREATE TABLE items (
    generation INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    platform TEXT NOT NULL,
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    brought_by TEXT NOT NULL,
    contributed INTEGER NOT NULL CHECK (contributed IN (0, 1)),
    PRIMARY KEY (generation, kind, name, version, platform)
) STRICT, WITHOUT ROWID;

-- What people publish as packages, charts and files: catalogue items, published with every generation.
CREATE TABLE contributions (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    platform TEXT NOT NULL,
    item TEXT NOT NULL,
    holder TEXT NOT NULL,
    added INTEGER NOT NULL,
    PRIMARY KEY (kind, name, version, platform)
) STRICT, WITHOUT ROWID;

-- The blobs of contributions, which a collection keeps.
CREATE TABLE contribution_blobs (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    platform TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (kind, name, version, platform, digest),
    FOREIGN KEY (kind, name, version, platform) REFERENCES contributions ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
"""

_PLACES = """
-- Where the item is served, an image's repository; empty for what is only carried. platforms: an image's, by spaces.
ALTER TABLE items ADD COLUMN path TEXT NOT NULL DEFAULT '';
ALTER TABLE items ADD COLUMN platforms TEXT NOT NULL DEFAULT '';
"""

_DAMAGES = """
-- Blobs whose bytes a scrub found to be others, or unreadable: no longer held. Where they lay, and the aliases they had.
CREATE TABLE damaged (
    digest BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    pack INTEGER REFERENCES packs (id) ON DELETE SET NULL,
    offset INTEGER NOT NULL,
    found INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE damaged_aliases (
    alias TEXT PRIMARY KEY,
    digest BLOB NOT NULL REFERENCES damaged (digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Whoever brings such a blob again, by whatever way, mends it.
CREATE TRIGGER mended AFTER INSERT ON blobs BEGIN INSERT OR IGNORE INTO aliases SELECT alias, digest FROM damaged_aliases WHERE digest = NEW.digest; DELETE FROM damaged WHERE digest = NEW.digest; END;
"""  # noqa: E501 - statements are told apart by the ends of lines

_SHIPPED = """
-- The serial of the latest crate of each name that was exported here.
CREATE TABLE shipped (
    name TEXT PRIMARY KEY,
    serial INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _REQUESTS, _ACCESS, _ITEMS, _PLACES, _DAMAGES, _SHIPPED)
