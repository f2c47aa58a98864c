"""Judgements, figures and the report of `make aws`."""

import attrs
import pytest

from benchmarks.aws import judgements
from benchmarks.aws.checks import as_samples
from benchmarks.aws.cloud import Answer
from benchmarks.aws.estimate import Rounds, describe, estimate_cents
from benchmarks.aws.figures import HEADING, Samples, rows
from benchmarks.aws.judgements import Verdict
from benchmarks.aws.markdown import RouteResult, RunInfo, render
from benchmarks.aws.parse_report_lines import ReportLine
from benchmarks.aws.routes import IMAGE, MANAGED, OFFICIAL, SNAPSTART
from benchmarks.aws.templates import Settings
from okibi.bench.prices import read_prices

WARM = ReportLine("1", duration_ms=2.0, billed_ms=2, memory_mb=512, peak_mb=60)
COLD = attrs.evolve(WARM, duration_ms=10.0, billed_ms=110, init_ms=100.0)
RESTORED = attrs.evolve(WARM, duration_ms=10.0, billed_ms=20, restore_ms=300.0)
SETTINGS = Settings("okibi-aws-1a2b", "3.13", "x86_64", 512)


def visit(number: int, pid: int = 7) -> Answer:
    return Answer({"visit": number, "pid": pid}, is_error=False)


def error(error_type: str) -> Answer:
    return Answer({"errorType": error_type, "errorMessage": "no"}, is_error=True)


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([visit(1), visit(2), visit(3)], Verdict.PASSED),
        ([visit(1), visit(1, pid=8)], Verdict.FAILED),
        ([error("Runtime.ExitError"), visit(1)], Verdict.FAILED),
    ],
    ids=["one process", "two processes", "an error"],
)
def test_state_lives_if_one_process_counts_the_visits(
    answers: list[Answer], verdict: Verdict
) -> None:
    assert judgements.judge_state(answers).verdict is verdict


@pytest.mark.parametrize(
    ("failed", "after", "verdict"),
    [
        (error("Runtime.DeadlineExceeded"), visit(4), Verdict.PASSED),
        (error("Sandbox.Timedout"), visit(1, pid=8), Verdict.FAILED),
        (error("Runtime.DeadlineExceeded"), visit(1, pid=8), Verdict.FAILED),
        (visit(3), visit(4), Verdict.FAILED),
    ],
    ids=["answered", "killed by Lambda", "another process", "no error"],
)
def test_a_time_out_must_be_an_answer_of_a_process_that_serves_on(
    failed: Answer, after: Answer, verdict: Verdict
) -> None:
    assert judgements.judge_failure("sleep", failed, 7, after).verdict is verdict


@pytest.mark.parametrize(
    ("times", "buffered", "verdict"),
    [
        ([0.1, 0.4, 0.7, 1.0, 1.3], False, Verdict.PASSED),
        ([1.3], False, Verdict.FAILED),
        ([1.3], True, Verdict.SKIPPED),
    ],
)
def test_a_stream_must_arrive_in_pieces_unless_the_emulator_buffers(
    times: list[float], buffered: bool, verdict: Verdict
) -> None:
    text = "".join(f"data: {n}\n\n" for n in range(5))

    assert judgements.judge_stream(times, text, buffered=buffered).verdict is verdict


def test_a_fall_back_in_the_log_says_that_aws_refuses_pipelining() -> None:
    line = f"[WARNING] lane 0 {judgements.SEQUENTIAL}"

    assert judgements.judge_pipelining(["START", line]).verdict is Verdict.FAILED
    assert judgements.judge_pipelining(["START", "END"]).verdict is Verdict.PASSED
    assert judgements.judge_pipelining([]).verdict is Verdict.NOT_SEEN


def test_a_shutdown_and_a_freeze_are_seen_in_the_log_or_not_seen() -> None:
    ended = ["okibi-check: terminated, process 7"]
    thawed = ["okibi-check: frozen for 4.0 s"]

    assert judgements.judge_shutdown(ended, emulated=False).verdict is Verdict.PASSED
    assert judgements.judge_shutdown([], emulated=False).verdict is Verdict.NOT_SEEN
    assert judgements.judge_shutdown([], emulated=True).verdict is Verdict.SKIPPED
    assert judgements.judge_freeze(thawed, 4, emulated=False).verdict is Verdict.PASSED
    assert judgements.judge_freeze([], 4, emulated=False).verdict is Verdict.NOT_SEEN
    assert judgements.judge_freeze([], 4, emulated=True).verdict is Verdict.SKIPPED


def test_an_init_phase_that_failed_is_told_with_its_time_and_type() -> None:
    failed = "INIT_REPORT Init Duration: 9999.94 ms\tPhase: init\tStatus: timeout"
    snapshot = "INIT_REPORT Init Duration: 410.20 ms\tPhase: init"

    found = judgements.judge_init_phases([snapshot, failed])

    assert (found.verdict, found.detail) == (
        Verdict.FAILED,
        "1, the first after 10000 ms: timeout",
    )
    assert judgements.judge_init_phases([snapshot]).verdict is Verdict.PASSED


def test_figures_compare_the_first_answer_and_warm_ones_with_the_official_client() -> None:
    twice = attrs.evolve(COLD, init_ms=210.0)

    _, row = rows([Samples(OFFICIAL, (COLD,), (WARM,)), Samples(MANAGED, (twice,), (WARM,))])

    assert (row[0], row[3]) == (MANAGED.title, "220.0 (220.0 to 220.0)")
    assert (HEADING[4], row[4], row[8]) == ("of AWS's client", "2.00", "1.00")


def test_a_restore_counts_as_a_start() -> None:
    (row,) = rows([Samples(SNAPSTART, (RESTORED,))])

    assert row[2:4] == ("300.0 (300.0 to 300.0)", "310.0 (310.0 to 310.0)")


def test_first_answers_of_a_sandbox_are_cold_and_the_others_warm() -> None:
    rounds = [[Answer({}, False, report=COLD), Answer({}, False, report=WARM)]] * 2

    samples = as_samples(MANAGED, [*rounds, [Answer({}, False)]])

    assert (samples.cold, samples.warm) == ((COLD, COLD), (WARM, WARM))


def test_the_estimate_counts_snapshots_and_rounds_up_to_cents() -> None:
    prices, rounds = read_prices(None), Rounds(10, 5)

    plain = estimate_cents([OFFICIAL, MANAGED], SETTINGS, rounds, prices)
    with_snapshots = estimate_cents([OFFICIAL, MANAGED, SNAPSTART], SETTINGS, rounds, prices)

    assert plain == 1
    assert plain < with_snapshots < 10


def test_the_question_names_account_region_cost_and_what_is_not_tried() -> None:
    text = describe(
        [MANAGED], [(IMAGE, "Docker is not running")], SETTINGS, Rounds(10, 5),
        account="123456789012", region="eu-central-1", cents=1,
    )  # fmt: skip

    for part in (
        "Account 123456789012, region eu-central-1",
        "3 functions of 512 MB",
        "not tried: image (Docker is not running)",
        "about 1 cent ",
    ):
        assert part in text


def test_the_report_has_checks_figures_and_what_was_not_tried() -> None:
    info = RunInfo("2026-12-01", "eu-central-1", "", "1.2.0", {"managed-check.zip": 1234567})
    finding = judgements.judge_state([visit(1), visit(2)])
    results = [
        RouteResult(OFFICIAL, samples=Samples(OFFICIAL, (COLD,), (WARM,))),
        RouteResult(MANAGED, "", (finding,), Samples(MANAGED, (COLD,), (WARM,))),
        RouteResult(SNAPSTART, "stack okibi-aws-1a2b-snapstart: refused"),
    ]

    text = render(info, SETTINGS, results, [(IMAGE, "Docker is not running")])

    assert text.startswith("# okibi 1.2.0 on AWS, eu-central-1, 2026-12-01\n")
    for line in (
        f"| zip with exec wrapper | {finding.check} | yes | {finding.detail} |",
        "| container image | Docker is not running |",
        "| zip with exec wrapper and SnapStart | stack okibi-aws-1a2b-snapstart: refused |",
        "| managed-check.zip | 1,234,567 |",
    ):
        assert line in text.splitlines()


def test_the_report_says_why_there_are_no_figures() -> None:
    info = RunInfo("2026-12-01", "us-east-1", "http://127.0.0.1:4566", "1.2.0", {})

    text = render(info, SETTINGS, [RouteResult(MANAGED, samples=Samples(MANAGED))], [])

    assert "None: the answers came without REPORT lines." in text.splitlines()


def test_the_report_of_an_emulator_says_that_it_is_none_of_aws() -> None:
    info = RunInfo("2026-12-01", "us-east-1", "http://127.0.0.1:4566", "1.2.0", {})

    assert "no run on AWS" in render(info, SETTINGS, [], [])
