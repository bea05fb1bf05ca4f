"""Create a list of checkpoints, and assert that nothing is imported that it does not need."""

import sys

# Such as by a tool that measures coverage.
loaded_before = set(sys.modules)

import asyncckpt  # noqa: E402

asyncckpt.AsyncClient(api_key="sk-1").fine_tuning.jobs.checkpoints.list_many(["ftjob-1"])
on_demand = {
    "asyncckpt.azure",
    "asyncckpt.records.conversion",
    "asyncckpt.records.jobs",
    "cattrs",
    "html.entities",
    "openai",
}
assert not on_demand & (sys.modules.keys() - loaded_before)
assert {"FineTuningJob", "converter"} < set(dir(asyncckpt))
assert asyncckpt.FineTuningJob.__name__ == "FineTuningJob"
assert asyncckpt.converter.unstructure(asyncckpt.Metrics(step=1.0)) == {"step": 1.0}
