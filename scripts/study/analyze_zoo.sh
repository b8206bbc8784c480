#!/usr/bin/env bash
# The study of 2018 as one command: analyze its five AllenNLP models, or those of another manifest.
#
#   scripts/study/analyze_zoo.sh [MANIFEST] [OPTION ...]
#
# A second run resumes an interrupted zoo and retries failed models. The options are those of
# `allennlp-analyze zoo`; PYTHON names an interpreter other than `python`.
set -euo pipefail
manifest=allennlp-2018
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    manifest=$1
    shift
fi
exec "${PYTHON:-python}" -m allennlp_analyze zoo "$manifest" --retry-failed --claims --plots "$@"
