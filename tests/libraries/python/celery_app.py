"""The Celery application of test_celery.py: tasks go by files, results by DynamoDB."""

import os
from pathlib import Path

from celery import Celery

folder = Path(os.environ["CELERY_TEST_FOLDER"])
queue, done, control = (folder / name for name in ("queue", "done", "control"))
for folder in (queue, done, control):
    folder.mkdir(exist_ok=True)

app = Celery("tests", broker="filesystem://", backend=os.environ["CELERY_TEST_BACKEND"])
app.conf.update(
    broker_transport_options={
        "data_folder_in": queue,
        "data_folder_out": queue,
        "processed_folder": done,
        "control_folder": control,
    },
    dynamodb_endpoint_url=os.environ["AWS_ENDPOINT_URL_DYNAMODB"],
    result_extended=True,
    task_track_started=True,
)


@app.task
def add(x, y):
    return x + y


@app.task
def fail(text):
    raise ValueError(text)


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def large(length):
    return "x" * length
