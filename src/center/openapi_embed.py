#!/usr/bin/env python3
"""Turns protocol/openapi.yaml into a C text of the same document as JSON: openapi_embed.py IN OUT."""
import json
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as source:
    text = json.dumps(yaml.safe_load(source), separators=(",", ":"), sort_keys=True)
lines = [json.dumps(text[at:at + 90]) for at in range(0, len(text), 90)]
with open(sys.argv[2], "w", encoding="utf-8") as out:
    out.write('/* Made from protocol/openapi.yaml by openapi_embed.py. */\n#include "center/api.h"\n\n')
    out.write("const char openapi_json[] =\n    " + "\n    ".join(lines) + ";\n")
