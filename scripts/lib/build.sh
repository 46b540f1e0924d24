# What scripts/demo, scripts/test and scripts/bench share: Debian packages and builds. To be sourced, from any directory.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build_packages="cmake ninja-build gcc pkg-config liblua5.4-dev lua-cjson-dev libuv1-dev libcurl4-openssl-dev
libmicrohttpd-dev libsqlite3-dev libgit2-dev libsodium-dev"
run_packages="lua-cjson lua-yaml lua-argparse lua-rex-pcre2 git bubblewrap libarchive-tools ca-certificates"

say() {
  printf '%s\n' "$@" >&2
}

die() {
  say "$@"
  exit 1
}

# missing PACKAGE...: those that are not installed
missing() {
  for package in "$@"; do
    case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
      *' installed') ;;
      *) printf '%s ' "$package" ;;
    esac
  done
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "Packages are missing, and to install them needs root: run this as root, or install sudo." \
      "Or as root: apt-get install $absent"
  fi
}

# need PACKAGE...: installs what is missing
need() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    die "This needs Debian 12 or a system like it: there is no apt-get here." \
      "On another system, install the equivalents of these and build with cmake: $*"
  fi
  absent=$(missing "$@")
  [ -n "$absent" ] || return 0
  say "Installing: $absent"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of words
  as_root apt-get install -qq -y --no-install-recommends $absent >/dev/null 2>&1 || {
    as_root apt-get update -qq
    # shellcheck disable=SC2086
    as_root apt-get install -qq -y --no-install-recommends $absent >/dev/null ||
      die "apt-get could not install: $absent" "Look at its messages above, and try again."
  }
}

# build PRESET [CMAKE-OPTION...]: makes build/PRESET/moonsail
build() {
  preset=$1
  shift
  (cd "$root" && cmake --preset "$preset" "$@" >"$root/build-$preset.log" 2>&1 &&
    cmake --build --preset "$preset" >>"$root/build-$preset.log" 2>&1) || {
    cat "$root/build-$preset.log" >&2
    rm -f "$root/build-$preset.log"
    die "The $preset build failed; its output is above."
  }
  rm -f "$root/build-$preset.log"
}
