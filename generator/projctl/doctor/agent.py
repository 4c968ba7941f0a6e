"""What is well and what is not with the agent and its helper; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projctl.doctor.findings import Finding, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projctl.doctor.facts import Agent

_UNIT = "projctl-agent.service"


def examine(agent: Agent, ours: str, *, user_mode: bool) -> Iterator[Finding]:
    """Every finding about the agent; `ours` is the version of this copy of projctl."""
    flag = " --user" if user_mode else ""
    if not agent.installed:
        message = "not installed: nothing stops idle projects, and there are no metrics"
        yield Finding("agent", "warning", message, f"projctl agent install{flag}")
        return
    yield alive(agent, flag)
    if not agent.journal:
        yield journal(flag)
    if agent.version is not None:
        yield version(agent, ours, flag)
    if not user_mode:
        yield polkit(agent)
        yield from helper(agent)


def alive(agent: Agent, flag: str) -> Finding:
    """Whether the agent runs and answers."""
    if agent.answers:
        return ok("agent", "runs and answers")
    word = "runs, but does not answer" if agent.active == "active" else f"does not run ({agent.active})"
    cure = f"systemctl{flag} restart {_UNIT}; why it does not: journalctl{flag} -u {_UNIT}"
    return Finding("agent", "error", f"{word}: no idle project is stopped", cure)


def journal(flag: str) -> Finding:
    """An agent that cannot read the journal."""
    message = "the agent cannot read the journal: it knows of no start and no end"
    cure = (
        "adduser $USER systemd-journal, and log in anew"
        if flag
        else "usermod -aG systemd-journal projctl-agent"
    )
    return Finding("agent-journal", "error", message, f"{cure}; systemctl{flag} restart {_UNIT}")


def version(agent: Agent, ours: str, flag: str) -> Finding:
    """Whether agent and command line are of one version."""
    if agent.version == ours:
        return ok("agent-version", f"{ours}, as this projctl")
    message = f"the agent is version {agent.version}, this projctl {ours}"
    cure = f"projctl agent install{flag}; systemctl{flag} restart {_UNIT}"
    return Finding("agent-version", "warning", message, cure)


def polkit(agent: Agent) -> Finding:
    """Whether the agent, which is no root, may stop projects."""
    if not agent.polkit:
        cure = f"apt install polkitd; systemctl restart {_UNIT}"
        return Finding("polkit", "error", "polkit is not installed: the agent may not stop anything", cure)
    if agent.rule is False:
        message = "the rule that lets the agent stop projects is missing"
        return Finding("polkit", "error", message, "projctl agent install")
    return ok("polkit", "lets the agent stop projects")


def helper(agent: Agent) -> Iterator[Finding]:
    """Whether the agent's privileged helper can be reached, where it is installed."""
    if agent.helper == "reached":
        yield ok("helper", "can be reached")
    elif agent.helper == "silent":
        message = "cannot be reached: the agent cannot freeze projects or start them again"
        yield Finding("helper", "error", message, "systemctl restart projctl-agent-helper.socket")
