"""What can go wrong on the crate, below `archive.errors.Problem`.

Problem
├── NoStore             no store at this root, or one of a newer program                          exit 2
├── StoreBusy           another command holds the store's one writer lock                         exit 1
├── StoreFull           the disk under the store is full, or would be                             exit 1
├── StoreFailed         the disk under the store does not do what it is told                      exit 1
├── UnknownBlob         no pack and no loose file holds this digest                               exit 1
├── UnknownToken        no token has this id                                                      exit 2
├── UnknownUser         no user has this name                                                     exit 2
├── BadUser             a name or password that cannot be taken                                   exit 2
├── HeldByCrate         people cannot publish what a crate brings                                 exit 2
├── HeldByOthers        another file was published under this name and version                   exit 2
├── BadContribution     a file that cannot be published as what it is said to be                  exit 2
├── UnknownContribution nobody published that here                                               exit 2
├── NothingToShip       nothing was published that an export could pack                           exit 2
├── IncompleteImage     a pushed image lacks what it names                                        exit 1
├── BadCertificate      a certificate or key that cannot be used here                             exit 2
├── BadPattern          not a pattern for names, or not one in force                              exit 2
├── CannotListen        an address that cannot be served                                          exit 2
├── AlreadyServing      another daemon serves this store                                          exit 1
├── NotRemovable        the appliance is still served, or belongs to another user                 exit 1
├── BadBackup           not a backup, or one that was damaged                                     exit 2
├── WrongPassphrase     the backup was made with another passphrase                               exit 3
├── StoreInUse          a backup would take the place of what a store holds                       exit 2
├── NoDatastore         no server gave the cluster's datastore                                    exit 1
├── DamagedContent      what is to be saved is damaged                                            exit 1
└── ServiceFailed       systemd did not take the unit                                             exit 1
"""

from __future__ import annotations

from archive.errors import Problem


class NoStore(Problem):
    """The root holds no store that this program can use."""

    exit_code = 2


class StoreBusy(Problem):
    """Import, activation and collection take turns, and so do all who write to the database: somebody else has it."""


class StoreFull(Problem):
    """No space for what is to be written. Nothing that was served before is touched."""


class StoreFailed(Problem):
    """The store's own disk answered with an error."""


class UnknownBlob(Problem):
    """Asked for a digest that the store does not hold."""


class IncompleteCrate(Problem):
    """Part of a crate is damaged or missing; the same command with a better copy goes on."""


class MissingBase(Problem):
    """The crate says that the store must hold certain blobs already, and it does not."""


class CrateConflict(Problem):
    """Two active crates disagree about a tag or a path; serving either would be a guess."""

    exit_code = 2


class BadPublication(Problem):
    """The catalogue names what the crate does not carry, or a kind that this program cannot serve."""

    exit_code = 2


class NoGeneration(Problem):
    """The generation asked for is not there."""

    exit_code = 2


class BadTrust(Problem):
    """Something about keys, principals or policies that the operator can put right."""

    exit_code = 2


class UnknownToken(Problem):
    """A token's id that is not in the list."""

    exit_code = 2


class UnknownUser(Problem):
    """A user's name that is not in the list."""

    exit_code = 2


class BadUser(Problem):
    """A user name that is taken or none, or a password that is no protection."""

    exit_code = 2


class HeldByCrate(Problem):
    """Somebody would publish a name and version that an active crate brings."""

    exit_code = 2


class HeldByOthers(Problem):
    """What people published under a name and version stays what it is."""

    exit_code = 2


class BadContribution(Problem):
    """Nobody can tell what a file is to be published as."""

    exit_code = 2


class UnknownContribution(Problem):
    """Nothing of this kind, name and version was published by people."""

    exit_code = 2


class NothingToShip(Problem):
    """People published nothing here, or nothing that is meant."""

    exit_code = 2


class IncompleteImage(Problem):
    """A pushed image names something that nobody pushed."""


class BadCertificate(Problem):
    """A certificate or key that the site brought, and that does not do."""

    exit_code = 2


class BadPattern(Problem):
    """A pattern that means no names, or that is not among those in force."""

    exit_code = 2


class CannotListen(Problem):
    """An address that is no HOST:PORT, is taken, or may not be served that way."""

    exit_code = 2


class AlreadyServing(Problem):
    """Another daemon serves this store."""


class NotRemovable(Problem):
    """Something of the appliance cannot be taken away: it is in use, or another user's."""


class ServiceFailed(Problem):
    """systemd did not take the unit, or may not be asked by this user."""


class BadBackup(Problem):
    """A file that is no backup, or not what it was when it was written."""

    exit_code = 2


class WrongPassphrase(Problem):
    """What was typed does not open the backup."""

    exit_code = 3


class StoreInUse(Problem):
    """The root holds what a restored backup would replace."""

    exit_code = 2


class DamagedContent(Problem):
    """A blob that is not what its digest says; nothing was written under its name."""


class NoDatastore(Problem):
    """The rest of a backup can be written without it."""
