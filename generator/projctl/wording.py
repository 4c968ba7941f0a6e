"""Our own words for what others say: pydantic's findings and a YAML parser's complaints."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError

from projctl.values import BadFormError, BadPartsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic.fields import FieldInfo

    from projctl.layers import Steps

_MISSING = {
    "run": 'such as "run: gunicorn blog:app"',
    "path": 'the directory to run in, such as "path: /srv/blog"',
}

#: Beginnings of what libyaml and, where it says otherwise, PyYAML's own parser say.
_REWORDED = {
    "mapping values are not allowed": 'cannot have ":" here: put the text in quotes, or mend the line above',
    "found character '\\t'": "cannot be indented with tabs: use spaces",
    "found character ": "cannot begin a value so: put the text in quotes",
    "found undefined tag handle": "cannot use this tag",
    "did not find expected ',' or ']'": 'must have "," or "]" here',
    "expected ',' or ']'": 'must have "," or "]" here',
    "did not find expected ',' or '}'": 'must have "," or "}" here',
    "expected ',' or '}'": 'must have "," or "}" here',
    "did not find expected '-' indicator": 'must have another "- " here, or less indentation',
    "did not find expected key": "must have a key here, at the indentation of the keys above",
    "expected <block end>": "must have a key here, at the indentation of the keys above",
    "could not find expected ':'": 'must have ":" after a key',
    "did not find expected node content": "must have a value here: put text of other characters in quotes",
    "expected the node content": "must have a value here: put text of other characters in quotes",
    "did not find expected alphabetic": 'must have a name after "&" or "*": put other text in quotes',
    "expected alphabetic": 'must have a name after "&" or "*": put other text in quotes',
    "block sequence entries are not allowed": 'cannot have "-" here: begin the list on a line of its own',
    "sequence entries are not allowed": 'cannot have "-" here: begin the list on a line of its own',
    "found unexpected ':'": 'cannot have ":" here: put the text in quotes',
    "found unexpected end of stream": "must close this quote",
}


@dataclass(frozen=True)
class Finding:
    """One thing the model refuses, `steps` below what it was given; `on_key` when the key is at fault."""

    steps: Steps
    message: str
    hint: str | None = None
    on_key: bool = False
    missing: bool = False


def findings(error: ValidationError, model: type[BaseModel]) -> Iterator[Finding]:
    """Everything that `error` says about input to `model`."""
    for item in error.errors(include_url=False, include_input=False):
        steps: Steps = item["loc"]
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, ValueError):
            yield from _refused(steps, cause)
        elif item["type"] == "missing":
            yield Finding(
                steps[:-1], f'must have a "{steps[-1]}"', _MISSING.get(str(steps[-1])), missing=True
            )
        elif item["type"] == "extra_forbidden":
            yield unknown_key(steps, keys(_model_at(model, steps[:-1])))
        else:
            yield _mistyped(steps, _field_at(model, steps), item["msg"])


def _refused(steps: Steps, cause: ValueError) -> Iterator[Finding]:
    if isinstance(cause, BadPartsError):
        for step, part in cause.parts:
            yield from _refused((*steps, step), part)
    elif isinstance(cause, BadFormError):
        for finding in findings(cause.error, cause.model):
            yield replace(finding, steps=(*steps, *finding.steps))
    else:
        hint, on_key = getattr(cause, "hint", None), getattr(cause, "on_key", False)
        yield Finding(steps, str(cause), hint, on_key)


def unknown_key(steps: Steps, known: Iterable[str]) -> Finding:
    """The last of `steps` is none of the `known` keys."""
    key = shorten(str(steps[-1]))
    message = f'unknown key "{key}", must be one of: {", ".join(known)}'
    return Finding(steps, message, did_you_mean(key, known), on_key=True)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the known word nearest to `word`, if one is near."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f'did you mean "{near[0]}"?' if near else None


def reword(said: str) -> str:
    """What a YAML parser said, in our own words where we have some."""
    found = next((text for start, text in _REWORDED.items() if said.startswith(start)), None)
    return found or f"cannot be read as YAML: {said}"


def shorten(text: str) -> str:
    """The text, cut where it is too long to stand in a message."""
    return text if len(text) <= 64 else f"{text[:63]}…"


def keys(model: type[BaseModel]) -> list[str]:
    """The keys that a mapping for `model` may have; a project's name is no key of it but the one above."""
    return [name for name in model.model_fields if name != "name"]


def _field_at(model: type[BaseModel], steps: Steps) -> FieldInfo | None:
    return _model_at(model, steps[:-1]).model_fields.get(str(steps[-1])) if steps else None


def _model_at(model: type[BaseModel], steps: Steps) -> type[BaseModel]:
    for step in steps:
        inner = model.model_fields[str(step)].annotation
        if not isinstance(inner, type) or not issubclass(inner, BaseModel):
            break
        model = inner
    return model


def _mistyped(steps: Steps, field: FieldInfo | None, message: str) -> Finding:
    if field is None:
        return Finding(steps, "must be a mapping")
    inner = field.annotation
    if get_origin(inner) is Literal:
        return Finding(steps, f"must be one of: {', '.join(get_args(inner))}")
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return Finding(steps, f"must be a mapping of some of: {', '.join(keys(inner))}")
    if int in (inner, *get_args(inner)):
        return Finding(steps, _whole_number(field))
    return Finding(steps, f"cannot be accepted: {message[:1].lower()}{message[1:]}")


def _whole_number(field: FieldInfo) -> str:
    least = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    bounds = "" if None in (least, most) else f" from {least} to {most}"
    return f"must be a whole number{bounds}"
