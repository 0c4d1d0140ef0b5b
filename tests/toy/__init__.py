"""The smallest task: a task module, a command module and a card. See CONTRIBUTING.md."""
