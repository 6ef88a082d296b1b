"""What the front says in words of its own."""

from chat import commands, words


def test_the_brokers_replies_are_there_word_for_word() -> None:
    assert words.created(words.JOB_PREFIX, "j1") == "Job created: `j1`. Waiting for result…"
    assert words.created(words.PLAN_PREFIX, "j1") == "Plan job: `j1`. Waiting for result…"
    assert words.created(words.APPROVAL_PREFIX, "j1") == "Approval job: `j1`. Waiting for result…"
    assert words.still_running("j1") == "Still running. Job ID: j1 (try: status j1)"
    assert words.COOLDOWN == "Please wait a few seconds between commands."
    assert words.at_the_cap(1) == (
        "You have the maximum number of jobs in progress (1). Wait for one to finish or use `status <id>`."
    )
    assert words.usage("approve") == "Usage: `approve <plan_id>`"
    assert words.usage("status") == "Usage: `status <job_id>`"
    assert words.NO_RESULT == "(no result)"


def test_an_unknown_command_is_told_which_there_are() -> None:
    said = words.unknown_command()
    assert said.startswith("Unknown command. Use: `ping <text>`, `capabilities`, `plan <text>`, `approve <plan_id>`, ")
    assert len(said) < 2000


def test_the_help_has_every_command_but_the_short_forms_of_the_review() -> None:
    assert set(words.USAGE) == set(commands.VERBS) - {"accept", "rework"}
    assert len(words.help_text().splitlines()) == len(words.USAGE)
    assert len(words.help_text()) < 2000
