"""The OpenAPI document as one page of HTML: no script, nothing loaded from elsewhere, light and dark."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --soft: #59636e; --ground: #ffffff; --panel: #f6f8fa;
  --line: #d1d9e0; --link: #0969da; --get: #1a7f37; --post: #0969da; --patch: #9a6700; --delete: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --soft: #9198a1; --ground: #0d1117; --panel: #151b23;
  --line: #3d444d; --link: #4493f8; --get: #3fb950; --post: #4493f8; --patch: #d29922; --delete: #f85149; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
p { margin: .4rem 0; } a { color: var(--link); } small, .soft { color: var(--soft); }
nav { margin: 1rem 0; display: flex; flex-wrap: wrap; gap: .3rem 1rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; background: var(--panel); }
details > div { padding: 0 1rem 1rem; border-top: 1px solid var(--line); background: var(--ground);
  border-radius: 0 0 6px 6px; }
summary { cursor: pointer; padding: .45rem .8rem; overflow-wrap: anywhere; }
summary:focus-visible, a:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
code, pre { font: .875rem/1.45 ui-monospace, monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .7rem; overflow-x: auto; }
.method { display: inline-block; min-width: 4.2rem; font-weight: 700; }
.get { color: var(--get); } .post { color: var(--post); } .patch { color: var(--patch); }
.delete { color: var(--delete); }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
"""

_EXAMPLES = """The examples are lines for a shell, with its variables: URL is this server's address, TOKEN the token and
FILE the file to send; the others stand in braces in the path, or are headers."""


def page(document: dict[str, Any]) -> str:
    """Return the page.

    Parameters
    ----------
    document : dict
        An OpenAPI 3.1 document whose references all go to its own schemas.
    """
    info = document["info"]
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_operation(document, path, method, operation))
    links = "".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag in (*groups, "Schemas"))
    sections = "".join(
        f'<section id="{_anchor(tag)}"><h2>{escape(tag)}</h2>{"".join(rows)}</section>' for tag, rows in groups.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    description = "".join(f"<p>{escape(text)}</p>" for text in [*info["description"].split("\n\n"), _EXAMPLES])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>{escape(info['title'])}</h1><small>Version {escape(info['version'])} · "
        f'<a href="/openapi.json">OpenAPI document</a></small>{description}</header>'
        f'<nav aria-label="Sections">{links}</nav><main>{sections}'
        f'<section id="{_anchor("Schemas")}"><h2>Schemas</h2>{schemas}</section></main></body></html>'
    )


def _anchor(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    parts = []
    if "description" in operation:
        parts.append(f"<p>{escape(operation['description'])}</p>")
    if parameters := operation.get("parameters"):
        named = [
            (
                f"<code>{escape(each['name'])}</code>",
                escape(each["in"]),
                _type(each["schema"]),
                escape(each.get("description", "")),
            )
            for each in parameters
        ]
        parts.append(f"<h3>Parameters</h3>{_table(('Name', 'In', 'Type', 'Meaning'), named)}")
    if body := operation.get("requestBody"):
        parts.append(f"<h3>Body</h3><p>{_content(body['content'])}</p>")
        parts.append(f"<pre>{escape(_curl(path, method, body['content'], operation))}</pre>")
    answers = [
        (escape(status), escape(answer["description"]), _content(answer["content"]))
        for status, answer in operation["responses"].items()
    ]
    parts.append(f"<h3>Answers</h3>{_table(('Status', 'Meaning', 'Content'), answers)}")
    return (
        f'<details><summary><span class="method {method}">{method.upper()}</span> <code>{escape(path)}</code> '
        f'<span class="soft">{escape(operation["summary"])}</span></summary><div>{"".join(parts)}</div></details>'
    )


def _content(content: dict[str, Any]) -> str:
    return "<br>".join(
        f"<code>{escape(media)}</code> {_type(described.get('schema', {}))}" for media, described in content.items()
    )


def _table(head: tuple[str, ...], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>'


def _curl(path: str, method: str, content: dict[str, Any], operation: dict[str, Any]) -> str:
    """Return a line for a shell; what the reader has to fill in is in variables.

    The shell prints the token itself, and curl reads it from its standard input: it is in no list of processes.
    """
    media = next(iter(content))
    example = content[media].get("example")
    place = re.sub(r"{(\w+)}", lambda match: _variable(match[1]), path)
    lines = [f'curl -X {method.upper()} "$URL{place}"']
    if operation.get("security") != []:
        lines = [f"printf 'Authorization: Bearer %s' \"$TOKEN\" | {lines[0]}", "-H @-"]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "header" and parameter["required"]:
            lines.append(f'-H "{parameter["name"]}: {_variable(parameter["name"])}"')
    lines.append(f"-H 'Content-Type: {media}'")
    if example is not None:
        lines.append(f"-d {shlex.quote(json.dumps(example))}")
    elif media != "application/json":
        lines.append('--data-binary "@$FILE"')
    return " \\\n  ".join(lines)


def _variable(name: str) -> str:
    return f"${{{name.upper().replace('-', '_')}}}"


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (
            f"<code>{escape(key)}</code>{'' if key in required else ' <small>optional</small>'}",
            _type(kind),
            escape(kind.get("description", "")),
        )
        for key, kind in schema.get("properties", {}).items()
    ]
    table = _table(("Field", "Type", "Meaning"), rows) if rows else ""
    return (
        f'<details id="schema-{_anchor(name)}" open><summary><code>{escape(name)}</code></summary>'
        f"<div><p>{escape(schema.get('description', ''))}</p>{table}</div></details>"
    )


def _type(schema: dict[str, Any]) -> str:
    """Return a schema in words, with links to the ones that it names."""
    if reference := schema.get("$ref"):
        name = reference.rsplit("/", 1)[1]
        return f'<a href="#schema-{_anchor(name)}">{escape(name)}</a>'
    if options := schema.get("anyOf"):
        return " or ".join(_type(option) for option in options)
    if values := schema.get("enum"):
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in values)
    kind = schema.get("type", "any")
    if kind == "array":
        if inner := schema.get("prefixItems"):
            return f"[{', '.join(_type(each) for each in inner)}]"
        return f"list of {_type(schema.get('items') or {})}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(str(kind))
