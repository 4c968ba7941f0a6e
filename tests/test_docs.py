"""The pages say what is so: every key, verb, option and metric, both ways; links, examples, commands."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from expositions import full_exposition

from projctl import adapters, announce, manifest, status
from projctl.cli import cli
from projctl.listen import SocketForm
from projctl.model import Idle, Limits, Project, Settings
from projctl.unitgenerator import main as unit_generator
from projctl_agent import messages
from projctl_agent.event import ENDS, Event
from projctl_agent.lifecycle import TOLD, TOLD_ORDERS

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
MAN = ROOT / "packaging/man"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *MAN.glob("*.md")])
ENTRY = re.compile(r"^\*\*(.+?)\*\*.*\n:   ", re.MULTILINE)
VERBS = 13
OPTIONS = 12
KEYS = 24


@cache
def sections(page: str) -> dict[str, str]:
    """The sections of a man page by heading, subsections by their own."""
    parts = re.split(r"^#{1,2} (.+)$", (MAN / page).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(page: str, *headings: str) -> set[str]:
    """The first word in bold of every definition below the headings."""
    return {name for heading in headings for name in ENTRY.findall(sections(page)[heading])}


def terms(page: str, heading: str) -> set[str]:
    """Every word in bold on the lines that begin a definition."""
    heads = re.findall(r"^(\*\*.+)\n:   ", sections(page)[heading], re.MULTILINE)
    return {word for head in heads for word in re.findall(r"\*\*(.+?)\*\*", head)}


def dotted(model: type[BaseModel], head: str = "") -> set[str]:
    """The keys of a model as a manifest writes them."""
    return {head + name for name in model.model_fields}


def commands() -> dict[str, click.Command]:
    """Every verb, those of groups by both words."""
    found: dict[str, click.Command] = {}
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command
        inner = list(command.commands.items()) if isinstance(command, click.Group) else [("", command)]
        if isinstance(command, click.Group) and command.invoke_without_command:
            inner.append(("", command))
        found |= {f"{name} {sub}".strip(): verb for sub, verb in inner}
    return found


def options(command: click.Command) -> set[tuple[str, ...]]:
    """The spellings of each option that a verb has of its own."""
    named = (option for option in command.params if isinstance(option, click.Option))
    return {(*option.opts, *option.secondary_opts) for option in named}


def documented_options() -> set[tuple[str, ...]]:
    """The spellings of each option in projctl(1)."""
    heads = re.findall(r"^(\*\*-.+)\n:   ", sections("projctl.1.md")["OPTIONS"], re.MULTILINE)
    return {tuple(re.findall(r"\*\*(-.+?)\*\*", head)) for head in heads}


def synopsis(verb: str) -> str:
    """The line that shows how the verb is called."""
    return sections("projctl.1.md")[verb].strip().splitlines()[0]


def test_every_verb_has_a_section_and_the_other_way_round() -> None:
    found = set(commands())
    in_page = {heading for heading in sections("projctl.1.md") if heading.islower()}
    assert len(found) >= VERBS
    assert in_page == found


def test_every_option_is_described_and_the_other_way_round() -> None:
    found = {spelling for verb in commands().values() for spelling in options(verb)}
    found |= {("--version",), ("-h", "--help")}
    assert len(found) >= OPTIONS
    assert documented_options() == found


@pytest.mark.parametrize("verb", sorted(commands()))
def test_the_synopsis_of_a_verb_names_its_options_and_no_others(verb: str) -> None:
    line = synopsis(verb)
    assert line.startswith(f"**projctl {verb}**")
    written = set(re.findall(r"\*\*(--?[A-Za-z].*?)\*\*", line))
    own = options(commands()[verb])
    assert [spelling for spelling in own if not written & set(spelling)] == []
    assert written - {word for spelling in own for word in spelling} == set()


def test_the_synopsis_of_a_verb_names_its_arguments() -> None:
    taking = {
        verb
        for verb, command in commands().items()
        if any(isinstance(parameter, click.Argument) for parameter in command.params)
    }
    assert {
        verb
        for verb in commands()
        if re.search(r"\]? \[?\*(NAME|COMMAND|SPAN)\*\]?(\.\.\.)?$", synopsis(verb))
    } == taking


def test_every_key_is_described_and_the_other_way_round() -> None:
    found = dotted(Project) - {"name"} | dotted(Idle, "idle.") | dotted(Limits, "limits.")
    found |= dotted(SocketForm, "listen.NAME.")
    found |= {"version", "defaults", "projects"}
    in_page = entries("projctl.yaml.5.md", "TOP-LEVEL KEYS", "KEYS OF A PROJECT", "SETTINGS")
    assert len(found) >= KEYS
    assert in_page == found


def test_settings_are_what_defaults_may_hold() -> None:
    assert entries("projctl.yaml.5.md", "SETTINGS") == (
        dotted(Settings) | dotted(Idle, "idle.") | dotted(Limits, "limits.")
    )


@pytest.mark.parametrize("heading", ["TOP-LEVEL KEYS", "KEYS OF A PROJECT", "SETTINGS"])
def test_every_key_has_its_default_or_is_required(heading: str) -> None:
    described = re.split(r"^(?=\*\*)", sections("projctl.yaml.5.md")[heading], flags=re.MULTILINE)[1:]
    assert len(described) >= 3
    assert [text for text in described if "Default:" not in text and "Required" not in text] == []


def test_every_adapter_is_described_and_the_other_way_round() -> None:
    assert len(adapters.every()) >= 3
    assert entries("projctl.yaml.5.md", "ADAPTERS") == set(adapters.every())


def test_every_field_of_a_listed_project_is_described() -> None:
    fields = set(status.ProjectStatus.__dataclass_fields__)
    assert len(fields) >= 10
    assert entries("projctl.1.md", "JSON") == fields


def test_every_metric_is_described_with_its_type_and_the_other_way_round() -> None:
    text = full_exposition()
    exported = set(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    page = sections("projctl-agent.8.md")["METRICS"]
    heads = re.findall(r"^(\*\*.+) \((\w+)\)\n:   ", page, re.MULTILINE)
    described = {(name, kind) for head, kind in heads for name in re.findall(r"\*\*([a-z_]+)\*\*", head)}
    assert len(exported) >= 6
    assert described == exported


def test_every_label_of_a_metric_is_described() -> None:
    page = sections("projctl-agent.8.md")["METRICS"]
    described = dict(re.findall(r"\*\*(projctl_[a-z_]+)\*\*\{(.+?)\}", page))
    more = {"projctl_stops_total": "project, reason", "projctl_requests_total": "project, code"}
    assert more.items() <= described.items()
    assert {described[name] for name in described.keys() - more.keys() - {"projctl_build_info"}} == {
        "project"
    }


def test_every_kind_of_entry_is_described_and_the_other_way_round() -> None:
    identities = {value for value in vars(messages).values() if re.fullmatch("[0-9a-f]{32}", str(value))}
    identities.add(announce.ORDER)
    described = set(re.findall(r"MESSAGE_ID=([0-9a-f]{32})", sections("projctl-agent.8.md")["JOURNAL"]))
    catalogued = set(
        re.findall(r"^-- ([0-9a-f]{32})$", (ROOT / "units/projctl-agent.catalog").read_text(), re.MULTILINE)
    )
    assert len(identities) >= 3
    assert described == identities == catalogued


def test_every_field_of_entries_is_described_and_the_other_way_round() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "agent/projctl_agent").rglob("*.py"))
    written = set(re.findall(r'"(PROJCTL_[A-Z_]+)"', sources))
    described = {
        term.partition("=")[0]
        for term in terms("projctl-agent.8.md", "JOURNAL")
        if term.startswith("PROJCTL_")
    }
    assert len(written) >= 8
    assert described == written


def test_every_event_and_key_of_it_is_described_and_the_other_way_round() -> None:
    event = Event(1.0, "ready", "shop", "projctl-shop.service", "", "", {})
    names = {"starting", "ready", "stopping"} | ENDS | set(TOLD.values()) | TOLD_ORDERS
    assert len(names) >= 17
    assert terms("projctl-agent.8.md", "EVENTS") == names | event.as_json().keys()


def test_every_unit_setting_is_described_and_the_other_way_round() -> None:
    template = (
        (ROOT / "units/common.j2").read_text().partition("[X-Projctl]")[2].partition("{% endmacro %}")[0]
    )
    rendered = set(re.findall(r"^([A-Z][A-Za-z]+)=", template, re.MULTILINE))
    assert len(rendered) >= 8
    assert entries("projctl-agent.8.md", "UNIT SETTINGS") == rendered


def test_links_lead_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())]
    assert len(links) >= 8
    local = [(page, link) for page, link in links if "://" not in link]
    assert [f"{page.name}: {link}" for page, link in local if not (page.parent / link).exists()] == []


def test_files_that_pages_name_are_there() -> None:
    named = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(
            r"[`*]((?:docs|units|tests|examples|generator|agent|packaging)/[\w./-]+)[`*]", page.read_text()
        )
    }
    assert len(named) >= 7
    assert [f"{page}: {path}" for page, path in sorted(named) if not (ROOT / path).exists()] == []


def manifests() -> list[tuple[str, str]]:
    """Every whole manifest in the pages, as (page, text)."""
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"^```yaml\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
        indented = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
        blocks += [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in indented]
        found += [
            (page.name, block.strip("\n") + "\n")
            for block in blocks
            if re.search(r"^version: ", block, re.MULTILINE)
        ]
    return found


def test_manifests_in_the_pages_load(tmp_path: Path) -> None:
    assert {page for page, _ in manifests()} >= {"README.md", "projctl.yaml.5.md"}
    for number, (page, text) in enumerate(manifests()):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        fleet, problems = manifest.load([file], layered=True)
        assert (page, problems) == (page, [])
        assert fleet.projects


def commands_in(text: str) -> list[list[str]]:
    """The words of every line of code that calls projctl or make, without comments."""
    code = re.findall(r"^```sh\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    code += re.findall(r"^    (?=projctl|make)(.+\n)", text, re.MULTILINE)
    lines = [line.partition("  #")[0].split() for block in code for line in block.splitlines()]
    return [words for words in lines if words and words[0] in ("projctl", "make")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_pages_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for program, *words in commands_in(page.read_text()):
        if program == "make":
            assert set(words) <= targets
        else:
            verb = next(
                verb for verb in (" ".join(words[:2]), words[0], "") if verb in commands() or not verb
            )
            assert verb, words
            used = {word for word in words if word.startswith("-") and word != "--"}
            ours = words[: words.index("--")] if "--" in words else words
            known = {spelling for option in options(commands()[verb]) for spelling in option}
            assert used & set(ours) <= known, words


def test_pages_have_commands() -> None:
    assert sum(len(commands_in(page.read_text())) for page in PAGES) >= 15


def test_every_directive_of_sandboxes_is_explained_and_the_other_way_round() -> None:
    template = (ROOT / "units/common.j2").read_text()
    macro = template.partition("{% macro sandbox(")[2].partition("{% endmacro %}")[0]
    rendered = set(re.findall(r"^([A-Z][A-Za-z]+)=", macro, re.MULTILINE))
    explained = set(re.findall(r"`([A-Z][A-Za-z]+)=[a-z]*`", (ROOT / "docs/sandbox.md").read_text()))
    assert len(rendered) >= 20
    assert explained - {"DynamicUser"} == rendered


def test_generator_options() -> None:
    """The page of the systemd generator has the options of its help, and the file that it reads."""
    told = set(re.findall(r"--[a-z]+", unit_generator.HELP))
    assert (
        told == set(re.findall(r"--[a-z]+", sections("projctl-generator.8.md")["OPTIONS"])) and len(told) >= 2
    )
    assert entries("projctl-generator.8.md", "CONFIGURATION") == {"Enabled"}
