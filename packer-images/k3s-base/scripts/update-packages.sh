#!/bin/sh
# Brings every installed package up to date and removes what is no longer needed.
set -eu

export DEBIAN_FRONTEND=noninteractive

apt-get update -q
apt-get -q -y -o Dpkg::Options::=--force-confold full-upgrade
apt-get -q -y autoremove --purge
apt-get clean
