"""Jobs and checkpoints: whether everything runs, and how hard the machine works for it."""

from grafana_foundation_sdk.models.dashboard import Panel

from scripts.dashboards.frame import Section, render
from scripts.dashboards.panels import (
    BYTES,
    COUNT,
    MILLISECONDS,
    NONE_IS_GOOD,
    SHARE,
    UP,
    Column,
    Query,
    lines,
    rows,
    single,
    states,
)
from scripts.dashboards.promql import in_range, largest, series, since_point, total

JOB_UP = series("tradeflow_job_up")
PROCESS_UP = series("tradeflow_process_up")
STARTS = series("tradeflow_process_starts_total")
FREE, SIZE = series("tradeflow_disk_free_bytes"), series("tradeflow_disk_size_bytes")
BY_TASK = ("job_name", "task_name")
TASK = "{{job_name}} {{task_name}}"
HEAP_USED = series("flink_taskmanager_Status_JVM_Memory_Heap_Used")
HEAP_MAX = series("flink_taskmanager_Status_JVM_Memory_Heap_Max")


def _of_job(name: str) -> str:
    return series(f"flink_jobmanager_job_{name}", "job_name")


def _of_task(name: str) -> str:
    return series(f"flink_taskmanager_job_task_{name}", "job_name")


RESTARTS = _of_job("numRestarts")
FAILED = _of_job("numberOfFailedCheckpoints")
COMPLETED = _of_job("numberOfCompletedCheckpoints")
DURATION = _of_job("lastCheckpointDuration")
STATE_SIZE = _of_job("lastCheckpointSize")
# An operator's state has its own name in the metric's unless Flink is told to make it a label.
ROCKSDB = (
    '{__name__=~"flink_taskmanager_job_task_operator_.*rocksdb_total_sst_files_size",'
    'run=~"$run",job_name=~"$job"}'
)


def dashboard() -> str:
    """The dashboard's JSON."""
    return render(
        "tradeflow-jobs",
        "Jobs and checkpoints",
        "Whether jobs and processes run, how checkpoints do, and how hard the machine works.",
        ("run", "job"),
        (
            Section("", [(4, [(3, panel) for panel in (*_running(), *_counts())])]),
            Section("Up and down", [(8, _timelines()), (8, _starts())]),
            Section("Checkpoints", [(8, [(24, _table())]), (8, _checkpoints())]),
            Section("Load", [(9, _load())]),
            Section("Memory and disk", [(8, _memory())]),
        ),
    )


def _running() -> list[Panel]:
    return [
        single(
            "Store",
            "Whether the exporter can read the store.",
            COUNT,
            largest(series("tradeflow_store_up")),
            words=UP,
        ),
        single(
            "Exporter",
            "Whether the exporter has read everything; before, amounts are absent.",
            COUNT,
            largest(series("tradeflow_exporter_ready")),
            words={"0": ("reading", "orange"), "1": ("ready", "green")},
        ),
        single(
            "Jobs down",
            "Jobs that should run and do not.",
            COUNT,
            total(f"1 - {JOB_UP}"),
            steps=NONE_IS_GOOD,
            decimals=0,
        ),
        single(
            "Processes down",
            "Processes that should run and do not.",
            COUNT,
            total(f"1 - {PROCESS_UP}"),
            steps=NONE_IS_GOOD,
            decimals=0,
        ),
    ]


def _counts() -> list[Panel]:
    return [
        single(
            "Job restarts",
            "How often Flink restarted a job in the time shown.",
            COUNT,
            in_range(RESTARTS),
            steps=NONE_IS_GOOD,
            decimals=0,
            now=True,
        ),
        single(
            "Process starts",
            "How often the supervisor started a process in the time shown.",
            COUNT,
            in_range(STARTS),
            decimals=0,
            now=True,
        ),
        single(
            "Checkpoints failed",
            "Checkpoints that failed in the time shown.",
            COUNT,
            in_range(FAILED),
            steps=NONE_IS_GOOD,
            decimals=0,
            now=True,
        ),
        single(
            "Disk free",
            "Free share of the disk that the stack's folder is on.",
            SHARE,
            f"min({FREE} / {SIZE})",
            decimals=1,
        ),
    ]


def _timelines() -> list[tuple[int, Panel]]:
    jobs = states(
        "Jobs up",
        "When each job ran. Down also while Flink does not answer.",
        UP,
        Query(largest(JOB_UP, "job"), "{{job}}"),
    )
    processes = states(
        "Processes up",
        "When each process ran.",
        UP,
        Query(largest(PROCESS_UP, "process"), "{{process}}"),
    )
    return [(12, jobs), (12, processes)]


def _starts() -> list[tuple[int, Panel]]:
    restarts = lines(
        "Job restarts over time",
        "When Flink restarted which job.",
        COUNT,
        Query(since_point(RESTARTS, "job_name"), "{{job_name}}"),
        stacked_bars=True,
        minutes=True,
        lowest=0,
    )
    starts = lines(
        "Process starts over time",
        "When the supervisor started which process.",
        COUNT,
        Query(since_point(STARTS, "process"), "{{process}}"),
        stacked_bars=True,
        minutes=True,
        lowest=0,
    )
    return [(12, restarts), (12, starts)]


def _table() -> Panel:
    return rows(
        "Jobs",
        "Each job as of now: how long it runs, how often it restarted, how its checkpoints do.",
        {"job_name": "Job"},
        Column("Uptime", largest(_of_job("uptime"), "job_name"), MILLISECONDS),
        Column("Restarts", largest(RESTARTS, "job_name"), COUNT, 0),
        Column("Last checkpoint", largest(DURATION, "job_name"), MILLISECONDS),
        Column("Its size", largest(STATE_SIZE, "job_name"), BYTES),
        Column("Completed", largest(COMPLETED, "job_name"), COUNT, 0),
        Column("Failed", largest(FAILED, "job_name"), COUNT, 0, NONE_IS_GOOD),
        sort="Job",
        descending=False,
    )


def _checkpoints() -> list[tuple[int, Panel]]:
    duration = lines(
        "Checkpoint duration",
        "How long each job's last checkpoint took.",
        MILLISECONDS,
        Query(largest(DURATION, "job_name"), "{{job_name}}"),
        lowest=0,
    )
    size = lines(
        "Checkpoint size",
        "How large each job's last checkpoint was. Growth without end means state that is kept.",
        BYTES,
        Query(largest(STATE_SIZE, "job_name"), "{{job_name}}"),
        lowest=0,
    )
    failed = lines(
        "Checkpoints failed over time",
        "When checkpoints failed, and whose.",
        COUNT,
        Query(since_point(FAILED, "job_name"), "{{job_name}}"),
        stacked_bars=True,
        minutes=True,
        lowest=0,
    )
    return [(8, duration), (8, size), (8, failed)]


def _load() -> list[tuple[int, Panel]]:
    busy = largest(_of_task("busyTimeMsPerSecond"), *BY_TASK)
    pressed = largest(_of_task("backPressuredTimeMsPerSecond"), *BY_TASK)
    return [
        (
            8,
            lines(
                "Busy",
                "Share of time that a task's busiest part works. Near 100 %: it is the bottleneck.",
                SHARE,
                Query(f"{busy} / 1000", TASK),
                lowest=0,
            ),
        ),
        (
            8,
            lines(
                "Back pressure",
                "Share of time that a task waits for the one behind it.",
                SHARE,
                Query(f"{pressed} / 1000", TASK),
                lowest=0,
            ),
        ),
        (
            8,
            lines(
                "Records in, per second",
                "What each task takes in.",
                COUNT,
                Query(total(_of_task("numRecordsInPerSecond"), *BY_TASK), TASK),
                lowest=0,
            ),
        ),
    ]


def _memory() -> list[tuple[int, Panel]]:
    rocksdb = lines(
        "RocksDB on disk",
        "Size of each job's state files.",
        BYTES,
        Query(total(ROCKSDB, "job_name"), "{{job_name}}"),
        lowest=0,
    )
    heap = lines(
        "Heap",
        "Heap used by Flink's processes; dashed: what a task manager may use.",
        BYTES,
        Query(largest(HEAP_USED, "instance"), "task manager {{instance}}"),
        Query(largest(series("flink_jobmanager_Status_JVM_Memory_Heap_Used")), "job manager"),
        Query(largest(HEAP_MAX, "instance"), "at most {{instance}}", is_limit=True),
        lowest=0,
    )
    disk = lines(
        "Disk",
        "Space left on the disk of the stack's folder; dashed: its size.",
        BYTES,
        Query(largest(FREE), "free"),
        Query(largest(SIZE), "size", is_limit=True),
        lowest=0,
    )
    return [(8, rocksdb), (8, heap), (8, disk)]
