"""`sercli predict --engine ray`: a folder of result shards, labelled on a cluster."""

from __future__ import annotations

from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING, Any

from sercli import __version__
from sercli.cli import extras, output
from sercli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sercli.cli.progress import Bar
    from sercli.runtime.batch import Report
    from sercli.scale.shards import Finished, Shard

FORMATS = ("jsonl", "parquet")
SHARD_SIZE = 1_000  # files; of 3-s clips a core works through them in seconds, and loses no more when it is killed


def predict_scaled(paths: tuple[str, ...], options: dict[str, Any]) -> int:
    """Label on a cluster and return the exit code.

    Raises:
        UsageError: options that do not go together, inputs that cannot be found
        MissingExtraError: Ray is not installed
        OutputError: the output folder cannot be written, or holds another run
    """
    begin = monotonic()
    form = options["form"] or "jsonl"
    if options["target"] is None:
        raise UsageError("--engine ray needs --output DIR, a folder or URL for the shards")
    if form not in FORMATS:
        raise UsageError(f"--engine ray writes {' or '.join(FORMATS)}, not {form}")
    if options["raw"]:
        raise UsageError("--engine ray reads audio files, not --raw PCM")
    for option, key in (("report", "page"), ("text", "text"), ("asr", "asr")):
        if options[key] is not None:
            raise UsageError(f"--{option} is for one machine; leave --engine ray out")
    if options["overwrite"] and options["resume"]:
        raise UsageError("--overwrite and --resume exclude each other; choose one")
    extras.require("scale", "sercli predict --engine ray")
    size = options["shard_size"] or SHARD_SIZE
    from sercli.cli.predict import tell
    from sercli.cli.predict_options import settings_of
    from sercli.cli.progress import progress_bar
    from sercli.runtime.batch import Report
    from sercli.runtime.student import read_bundle
    from sercli.scale import ray_engine
    from sercli.scale.job import Job
    from sercli.scale.shards import shards
    from sercli.scale.sources import Sources
    from sercli.scale.store import Store

    bundle = read_bundle(options["model"], precision=options["precision"], offline=options["offline"])
    settings = settings_of(bundle.open(), form, options)
    sources = Sources(paths)
    store = Store.at(options["target"], form)
    run = {"model": bundle.id, "settings": repr(settings), "format": form, "shard_size": size}
    store.begin(run, resume=options["resume"], overwrite=options["overwrite"])
    marks = store.finished()
    if options["verbose"]:
        output.note(f"model {bundle.id}, sercli {__version__}, {len(marks)} shards finished before")
    report = Report()
    job = Job(bundle, settings, store, options["threads"] or 1)
    try:
        with ExitStack() as stack:
            ray = stack.enter_context(ray_engine.cluster(options["address"]))
            bar = stack.enter_context(progress_bar(not options["quiet"], None))
            wanted = _unfinished(shards(sources, size), marks, report, bar)
            for mark in ray_engine.run(ray, job, wanted):
                marks[mark.number] = mark
                report.add(mark.report)
                bar.update(mark.done + mark.failed)
    except KeyboardInterrupt:
        if not options["quiet"]:
            output.note(f"{report}; continue with --resume")
        raise
    store.conclude(marks.values())
    report.skipped = sources.skipped
    return tell(report, paths, monotonic() - begin, options)


def _unfinished(shards: Iterable[Shard], marks: dict[int, Finished], report: Report, bar: Bar) -> Iterator[Shard]:
    """Leave out the shards that an earlier run has finished, and count them.

    Raises:
        OutputError: an earlier run had other inputs
    """
    earlier, count = dict(marks), 0
    for shard in shards:
        count += 1
        mark = earlier.get(shard.number)
        if mark is None:
            yield shard
            continue
        if mark.digest != shard.digest:
            raise OutputError(
                f"{mark.file}: was made of other inputs than {shard.inputs[0].name} and what follows; give the same "
                "inputs again, or use another --output"
            )
        report.resumed += mark.done
        report.failed += mark.failed
        bar.update(mark.done + mark.failed)
    if surplus := [number for number in earlier if number >= count]:
        raise OutputError(f"{earlier[min(surplus)].file}: has inputs that are gone; use another --output")
