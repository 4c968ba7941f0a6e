"""python -m projctl_agent.helper is projctl-agent-helper."""

from projctl_agent.helper.main import main

main()
