#!/bin/sh
# Sets up the crate's appliance on this board from the stick that this file is on, and installs the crate.
# docs/stick.md explains it. The card that came another way vouches for this very file: compare its sha256.
# Nothing else of the stick runs before a signature by the key of the card, and then its own sha256, have been checked.

set -eu
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL

usage() {
  cat <<'END'
Usage: sh install.sh [--fingerprint SHA256:... | --key FILE] [options] [...]

Sets up crate-appliance in /opt/buzzcrate from this stick, and installs the
crate. Run again, it goes on where it was, or upgrades.

  --fingerprint SHA256:...  of whoever signed the crate, from the card
  --key FILE                their public key, if it did not come on this stick
  --as NAME                 what to call them among the trusted (release)
  --crate FILE              the crate, or its part .000, if here are several
  --root DIR                where the store is to be (/var/lib/crate)
  --setup-only              set up crate-appliance and install no crate
  -h, --help                this text

All else is handed on to crate-appliance install:

  sh install.sh --fingerprint SHA256:... --site site.toml

Exit codes: 0 done, 1 failed, 2 wrong use, 3 refused for trust.
END
}

fail() { # code, what, what to do
  printf 'install.sh: %s\n' "$2" >&2
  printf '  hint: %s\n' "$3" >&2
  exit "$1"
}

fingerprint='' key='' name=release crate='' root=/var/lib/crate setup_only=
left=$#
while [ "$left" -gt 0 ]; do
  word=$1
  shift
  left=$((left - 1))
  case $word in
    --fingerprint | --key | --as | --crate | --root)
      [ "$left" -gt 0 ] || fail 2 "$word needs a value" "sh install.sh --help shows how"
      value=$1
      shift
      left=$((left - 1))
      case $word in
        --fingerprint) fingerprint=$value ;;
        --key) key=$value ;;
        --as) name=$value ;;
        --crate) crate=$value ;;
        --root) root=$value ;;
      esac
      ;;
    --fingerprint=*) fingerprint=${word#*=} ;;
    --key=*) key=${word#*=} ;;
    --as=*) name=${word#*=} ;;
    --crate=*) crate=${word#*=} ;;
    --root=*) root=${word#*=} ;;
    --setup-only) setup_only=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    --)
      while [ "$left" -gt 0 ]; do
        word=$1
        shift
        set -- "$@" "$word"
        left=$((left - 1))
      done
      ;;
    *) set -- "$@" "$word" ;;
  esac
done

[ -f "$0" ] || fail 2 "this is to be run as a file, from the stick" "sh /media/stick/install.sh"
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ "$(id -u)" = 0 ] || fail 2 "setting up an appliance takes root" "sudo sh $here/install.sh, with the same arguments"
command -v ssh-keygen >/dev/null ||
  fail 1 "there is no ssh-keygen here, which checks the signature" "install openssh-client from this system's own medium"

# The newest Python that fits: programs on the PATH, looked at one by one.
python='' seen=''
for candidate in python3 python3.13 python3.12 python3.11; do
  command -v "$candidate" >/dev/null || continue
  version=$("$candidate" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
  seen="$seen $version"
  if "$candidate" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ] && [ -z "$seen" ]; then
  fail 1 "there is no python3 here" "use an image that has it (Debian 12, Raspberry Pi OS 12, Ubuntu 24.04 or later do)"
elif [ -z "$python" ]; then
  fail 1 "Python is too old here:$seen, and 3.11 is needed" "use Debian 12, Raspberry Pi OS 12, Ubuntu 24.04 or later"
fi
"$python" -I -c 'import ctypes, sqlite3, ssl, venv, zipfile' 2>/dev/null ||
  fail 1 "Python has lost parts of its standard library here" "install the whole of it: python3, not python3-minimal"

board() {
  cat <<'PYTHON'
@@board@@
PYTHON
}

exec "$python" -I -c "$(board)" --here="$here" --fingerprint="$fingerprint" --key="$key" --as="$name" \
  --crate="$crate" --root="$root" --setup-only="$setup_only" -- "$@"
