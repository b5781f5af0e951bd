#!/usr/bin/env bash
# Gets the components that the tests need and that this machine does not have,
# from Debian's packages. What is there is left as it is. Services that the
# packages bring are not started: the tests start instances of their own.
set -euo pipefail

policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
# Debian's servers are in /usr/sbin, which is not in everybody's PATH, and those of
# PostgreSQL in a folder for each version.
have() {
  local versions=(/usr/lib/postgresql/*/bin)
  PATH=$PATH:${SBIN:-/usr/sbin:$(IFS=:; echo "${versions[*]}")} command -v "$1" >/dev/null 2>&1
}
fail() { printf 'deps: %s\n' "$*" >&2; exit 1; }

# command:package
wanted=(git:git gcc:gcc curl:curl python3:python3 nginx:nginx wrk:wrk prometheus:prometheus promtool:prometheus prometheus-alertmanager:prometheus-alertmanager sshd:openssh-server gpg:gnupg initdb:postgresql mariadbd:mariadb-server chromium:chromium)

missing=() # commands
packages=()
for w in "${wanted[@]}"; do
  have "${w%%:*}" && continue
  missing+=("${w%%:*}")
  [[ " ${packages[*]-} " == *" ${w##*:} "* ]] || packages+=("${w##*:}")
  # The race detector links with the C library's own files.
  [ "${w##*:}" != gcc ] || packages+=(libc6-dev)
  # A browser without a font shows boxes.
  [ "${w##*:}" != chromium ] || packages+=(fonts-dejavu-core)
done
if [ ${#missing[@]} = 0 ]; then
  echo "deps: git, gcc, curl, python3, nginx, prometheus, promtool, prometheus-alertmanager, sshd, gpg, initdb, mariadbd and chromium are there"
  exit 0
fi

echo "deps: missing: ${missing[*]}"
have apt-get || fail "this machine has no apt-get: install ${missing[*]} by hand and try again"
as_root=()
if [ "$(id -u)" != 0 ]; then
  have sudo || fail "installing needs root, and there is no sudo: run as root: apt-get install ${packages[*]}"
  as_root=(sudo)
fi

# A policy of 101 tells Debian's packages not to start their services. One that
# is there already stays.
if [ ! -e "$policy" ]; then
  echo "deps: keeping services from starting meanwhile ($policy)"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 0755 "$policy"
fi

echo "deps: apt-get update"
"${as_root[@]}" apt-get update -qq || fail "apt-get update failed; see above"
echo "deps: apt-get install ${packages[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" ||
  fail "apt-get install ${packages[*]} failed; see above"

# Only what was installed just now: neither running nor started at boot.
for s in nginx prometheus prometheus-alertmanager ssh:openssh-server postgresql mariadb:mariadb-server; do
  [[ " ${packages[*]} " == *" ${s##*:} "* ]] && have systemctl || continue
  s=${s%%:*}
  echo "deps: disabling the service $s: the tests start their own"
  "${as_root[@]}" systemctl disable "$s" || fail "could not disable the service $s"
  # Without a running systemd nothing can have been started by it.
  [ ! -d /run/systemd/system ] || "${as_root[@]}" systemctl stop "$s" || fail "could not stop the service $s"
done

for m in "${missing[@]}"; do
  have "$m" || fail "$m is still missing after installing ${packages[*]}"
done
echo "deps: installed ${packages[*]}"
