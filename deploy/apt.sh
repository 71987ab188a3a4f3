# For the scripts that install packages; they source it.

# with_apt WHAT WORDS...: runs apt-get with these words, which install what is missing; root has to.
with_apt() {
    what=$1
    shift
    if [ "$(id -u)" -ne 0 ]; then
        echo "packages are missing: $what; run this as root, or as root: apt-get $*" >&2
        exit 1
    fi
    echo "installing: $what"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get "$@" -qq --yes --no-install-recommends >/dev/null
}
