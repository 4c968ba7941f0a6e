"""python -m projctl_agent is projctl-agent."""

from projctl_agent.main import main

main()
