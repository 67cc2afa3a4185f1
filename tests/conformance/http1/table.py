# SPDX-License-Identifier: Apache-2.0
"""More cases of the kinds of cases.json, made of parts: where one part is wrong in
twenty ways, or two combine, a table says it shorter than a list. The same shape:
the README beside this file explains it."""
import table_answers as answers
import table_connections as connections
import table_framing as framing
import table_heads as heads

PARTS = {
    "lengths": [framing.lengths],
    "codings": [framing.codings],
    "chunks": [framing.chunks, framing.trailers],
    "hosts": [heads.hosts, heads.request_lines],
    "targets": [heads.targets, heads.fields],
    "connections": [connections.hops, connections.spoofs, connections.upgrades,
                    connections.expectations, connections.pipelines],
    "framing of answers": [answers.answers_framed],
    "heads of answers": [answers.answers_headed],
    "surplus": [answers.answers_surplus],
}


def cases(part):
    return [made for make in PARTS[part] for made in make()]
