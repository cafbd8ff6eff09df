"""What to do about an error: for each code a sentence for the user whose job it is, and one for the administrator.

Shown beside the message, which says what happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """What the owner of a job can do, and what an administrator can."""

    for_user: str
    for_admin: str


def advice(code: str) -> Advice:
    """The advice for an error's code; that to report a bug for a code which there is not."""
    return _ADVICE.get(code, _ADVICE["Bug"])


_ADVICE: Mapping[str, Advice] = {
    "AditError": Advice(
        "Retry the failed items once; if they fail again, show this page to an administrator.",
        "Look for the job's number in the logs of the worker and in its Prefect run.",
    ),
    "Refused": Advice(
        "A rule does not allow this; ask an administrator which one.",
        "Compare the job with the rights of its owner and the settings of its nodes.",
    ),
    "NotPermitted": Advice(
        "Ask an administrator for the right that is missing, then retry the failed items.",
        "Look at the groups of the owner; if all jobs fail like this, compare the master keys of the workers.",
    ),
    "BadRequest": Advice(
        "Submit what is left as another job, with the named field corrected.",
        "The request is not consistent with what the database holds; the message names the field.",
    ),
    "WrongState": Advice(
        "Reload the page, since the job has gone on in the meantime, or its trial was forgotten; then decide again.",
        "If the trial was forgotten, its key is destroyed: only another trial can move these studies.",
    ),
    "Outdated": Advice(
        "Reload the page and enter your change again.",
        "Two people have changed the same thing; the later one has to look at the first change.",
    ),
    "WrongVersion": Advice(
        "Show this page to an administrator.",
        "Install the same version on all machines and start it; a database is never taken back to an earlier version.",
    ),
    "TooManyTries": Advice(
        "Wait some minutes, then try again.",
        "Look at the audit trail who tried so often, and from where.",
    ),
    "OverQuota": Advice(
        "Ask an administrator for room in the destination folder, then retry the failed items.",
        "Free space in the folder and measure it again, or raise its quota.",
    ),
    "AppLocked": Advice(
        "Wait until the application is open again; what you have submitted is kept.",
        "A superuser has locked the application in the project settings and can unlock it there.",
    ),
    "UnderMaintenance": Advice(
        "Come back after the maintenance; what you have submitted is kept.",
        "End maintenance in the project settings when the work is done.",
    ),
    "HeldBack": Advice(
        "Nothing: it goes on by itself when the server or folder can be used again.",
        "Look at the server's windows, and whether somebody has stopped it; or at the disk of the folder.",
    ),
    "OutsideWindow": Advice(
        "Nothing: it goes on by itself when the server opens.",
        "Look at the transfer windows of the server; they are in the time zone of the settings.",
    ),
    "ServerStopped": Advice(
        "Nothing: it goes on by itself when an administrator lets the server go on.",
        "Let the server go on when the reason is gone; the audit trail tells who stopped it.",
    ),
    "FolderFull": Advice(
        "Nothing: it goes on by itself when the folder has room again; administrators were told.",
        "Free space on the disk of the folder, then have it tried at once: adit node go-on, or the folder's page.",
    ),
    "FolderGone": Advice(
        "Nothing: it goes on by itself when the folder can be written again; administrators were told.",
        "Mount the folder for writing on the machine that adit doctor names, then have it tried: adit node go-on.",
    ),
    "PeerError": Advice(
        "Retry the failed items in a while; if they fail again, show this page to an administrator.",
        "Test the connection of source and destination, and look into the logs of the server on the other side.",
    ),
    "Unreachable": Advice(
        "Retry the failed items in a while; if they fail again, tell an administrator that the server is down.",
        "Check that the server runs, its host and port in the node's settings, and the firewall between.",
    ),
    "AssociationRejected": Advice(
        "Show this page to an administrator: the server does not accept us.",
        "Compare the AE titles of the node's settings with those that the server knows, and its list of our addresses.",
    ),
    "TimedOut": Advice(
        "Retry the failed items when the server is less busy, such as in the evening.",
        "Test the connection; for a server that is slow but well, raise the timeouts in its settings.",
    ),
    "PeerBusy": Advice(
        "Retry the failed items when the server is less busy, such as in the evening.",
        "Lower the association budget of the server, so that we ask less of it at the same time.",
    ),
    "Unsupported": Advice(
        "Show this page to an administrator: the server cannot do what this needs.",
        "Compare the capabilities in the node's settings with the server's conformance statement.",
    ),
    "PeerLied": Advice(
        "Retry the failed items; if they fail again, show this page to an administrator.",
        "The server contradicts itself; report it to its vendor with the log of this item.",
    ),
    "DataError": Advice(
        "Look at the study at the source, then retry the failed items.",
        "Look at the study at the source: what it holds is not what it announces.",
    ),
    "NotFound": Advice(
        "Search for the study again: it may have been moved or deleted at the source, or its patient ID was changed.",
        "Look whether the source lists the study by C-FIND or QIDO-RS, and shows it to our AE title.",
    ),
    "Ambiguous": Advice(
        "Search for the study again and choose it from the results, so that its patient is told, too.",
        "The source lists one Study Instance UID for several studies; have that corrected there.",
    ),
    "IdentityConflict": Advice(
        "One of patient ID and pseudonym belongs to somebody else: check both, then submit another job.",
        "Look who has the pseudonym in this trial; patients that were merged at the source have another ID since.",
    ),
    "Unreadable": Advice(
        "Transfer the other series of the study, and have the damaged one looked at by an administrator.",
        "An instance is damaged at the source or on its way; the log of the worker tells which.",
    ),
    "Unconvertible": Advice(
        "Have the series delivered as DICOM files; there is nothing in it of which a volume can be made, or gaps.",
        "Look with dcm2niix what it says of the series; the item names it by its number.",
    ),
    "ConversionFailed": Advice(
        "Retry the item; if it fails again, have the study delivered as DICOM files.",
        "See in the worker's log how dcm2niix ended, and whether the machine has memory and time enough for it.",
    ),
    "Incomplete": Advice(
        "Retry the failed items: only what is missing is moved. Often the images were not on line at the source.",
        "The receipt lists what is missing; look whether it is on line there, and which syntaxes it may send us.",
    ),
    "DeidError": Advice(
        "Nothing of it was delivered; show this page to an administrator.",
        "De-identification met what it could not treat; the message names the attribute.",
    ),
    "ProfileInvalid": Advice(
        "Submit what is left as another job: the rules of de-identification have changed since this one was accepted.",
        "Check the profile with adit profile show, and that all machines with workers have the same profiles.",
    ),
    "RuleFailed": Advice(
        "Transfer the study without the series that cannot be treated, or show this page to an administrator.",
        "The message names the attribute; try the profile on a file with adit profile try, and correct the profile.",
    ),
    "ResidueFound": Advice(
        "Transfer the study without the series in question, or show this page to an administrator.",
        "The message names the attribute that still identifies the patient; let the profile empty or delete it.",
    ),
    "Excluded": Advice(
        "Choose another profile that lets this kind of image pass, or leave it out.",
        "The profile excludes this kind of instance; another profile may hold it for review instead.",
    ),
    "NeedsReview": Advice(
        "Wait for a reviewer to release the held images; nothing has to be submitted again.",
        "Somebody with the right to review has to look at the held instances and release or reject them.",
    ),
    "TargetError": Advice(
        "Retry the failed items; if they fail again, show this page to an administrator.",
        "Test the destination; its own log tells why it did not take the instances.",
    ),
    "NoSpace": Advice(
        "Tell an administrator that ADIT has no space left, then retry the failed items.",
        "Free space where the spool and the data directory are.",
    ),
    "WriteFailed": Advice(
        "Show this page to an administrator: the destination cannot be written.",
        "Check that the folder exists, is mounted, and can be written by the user who runs ADIT.",
    ),
    "NotConfirmed": Advice(
        "Retry the failed items: what has arrived in the meantime is not sent again.",
        "The destination took the instances and does not list them; look there for a queue or a rule that drops them.",
    ),
    "Interrupted": Advice(
        "Retry or resume the job.",
        "The work was stopped from our side; the logs of the worker tell by what.",
    ),
    "Canceled": Advice(
        "Resume the job if it shall go on after all.",
        "Somebody canceled the job here or its run in Prefect; the audit trail tells who did it here.",
    ),
    "LeaseLost": Advice(
        "Retry the failed items; if they fail again, show this page to an administrator.",
        "A worker died during every attempt; look in the logs and the kernel's for why, such as too little memory.",
    ),
    "Stalled": Advice(
        "Retry the failed items when the destination is less busy.",
        "The destination is slower than the source waits; look why, or let the source wait longer for us.",
    ),
    "Bug": Advice(
        "Show this page to an administrator: this should not have happened.",
        "Report it with the code, the version, and the log of the worker, which names no patient.",
    ),
}
