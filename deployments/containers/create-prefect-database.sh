#!/bin/sh
# Makes the second database, Prefect's own, when PostgreSQL starts for the first time.
set -eu
createdb --username "$POSTGRES_USER" prefect
