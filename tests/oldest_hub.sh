#!/usr/bin/env bash
# The zoo's tests with the oldest huggingface_hub that pyproject.toml allows, in an environment of their own; without
# torch, so that they also show what the base install and the extra "push" need. The rest of the tests runs with what
# pip resolves. Takes a minute or two, most of it the installation.
set -euo pipefail
cd "$(dirname "$0")/.."
oldest=$(sed -n 's/.*"huggingface-hub>=\([0-9.]*\),.*/\1/p' pyproject.toml)
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
"${PYTHON:-python3.11}" -m venv "$environment"
"$environment/bin/pip" install --quiet ".[push]" "huggingface-hub==$oldest.*" pytest onnx jsonschema
"$environment/bin/python" -c 'import huggingface_hub; print("huggingface_hub", huggingface_hub.__version__)'
"$environment/bin/python" -m pytest tests/hub -q "$@"
