#!/usr/bin/env bash
# Writes requirements/*.txt: exact versions with the hashes of every platform's files. Existing pins stay unless UPGRADE=1.
# No index address goes into the files, so that each machine uses its own.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}

compile() { # compile NAME SOURCE OPTION…; further requirements come on standard input
  local out=requirements/$1.txt
  "$uv" pip compile -q "${@:2}" --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --output-file "$out" >/dev/null
  printf '# Written by `make lock`; do not edit.\n%s\n' "$(grep -v '^#' "$out")" >"$out"
}

build='setuptools>=77' # what `pip install --no-build-isolation` needs to build this project itself
compile dev pyproject.toml - --extra spine --extra postgres --extra s3 --extra mcp --extra otel --extra claw --extra head --extra dispatch --extra cluster --extra chat --extra deploy --extra dev ${UPGRADE:+--upgrade} <<<"$build"
# dev holds everything; the others take its versions, so that tests run what is shipped.
compile run pyproject.toml - --extra spine --extra claw --extra head --extra dispatch --constraint requirements/dev.txt <<<"$build"
compile build - --constraint requirements/dev.txt <<<"$build"
for role in mcp otel dispatch cluster chat deploy; do compile "$role" pyproject.toml --extra "$role" --constraint requirements/dev.txt; done
# A spine that was deployed can have its store on a PostgreSQL server, and its backups in an object store.
compile spine pyproject.toml --extra spine --extra postgres --extra s3 --constraint requirements/dev.txt
# A claw runs spine-dispatch for jobs that are an agent's. Both may be a cluster's nodes.
compile claw pyproject.toml --extra claw --extra dispatch --extra cluster --constraint requirements/dev.txt
compile head pyproject.toml --extra head --extra cluster --constraint requirements/dev.txt
# The other queues that `make bench` holds itself against.
compile bench - --constraint requirements/dev.txt <<<$'huey>=3.5,<4\nprocrastinate>=3.10,<4'
compile lock - ${UPGRADE:+--upgrade} <<<'uv>=0.13,<0.14'
wc -l requirements/*.txt
