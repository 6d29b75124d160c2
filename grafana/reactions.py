"""What runs on changes: the rows of the dashboards that show event source mappings, Kinesis
destinations and sinks."""


def rows(row, series, region):
    def rate(metric):
        return [(f"rate({metric}{{{region}}}[$__rate_interval])", "{{region}}, {{table}} → {{function}}")]

    def now(metric):
        return [(f"{metric}{{{region}}}", "{{region}}, {{table}} → {{function}}")]

    def rate_to(metric):
        return [(f"rate({metric}{{{region}}}[$__rate_interval])", "{{region}}, {{table}} → {{stream}}")]

    def now_to(metric):
        return [(f"{metric}{{{region}}}", "{{region}}, {{table}} → {{stream}}")]

    def rate_of(metric):
        return [(f"rate({metric}{{{region}}}[$__rate_interval])", "{{region}}, {{sink}} of {{table}}")]

    def now_of(metric):
        return [(f"{metric}{{{region}}}", "{{region}}, {{sink}} of {{table}}")]

    lost = "Too large for the stream (CloudWatch: FailedToReplicateRecordCount)."
    age = "Of the oldest record that the function has not taken (CloudWatch: IteratorAge)."
    return [
        row("Event source mappings"),
        series("Iterator age", age, now("geodynamo_trigger_iterator_age_seconds"), "s", 8),
        series("Invocations", "Of the functions.", rate("geodynamo_trigger_invocations_total"), "ops", 8),
        series("Records delivered", "The functions have taken them.", rate("geodynamo_trigger_delivered_records_total"), "ops", 8),
        series("Errors", "The functions failed.", rate("geodynamo_trigger_errors_total"), "ops", 8),
        series("Not reached", "The functions were busy or away.", rate("geodynamo_trigger_not_reached_total"), "ops", 8),
        series("Records filtered out", "No filter let them through.", rate("geodynamo_trigger_filtered_records_total"), "ops", 8),
        series("Records given up", "Too old, or tried too often.", now("geodynamo_trigger_discarded_records_total"), "none", 8),
        series("Mappings that run", "1 for each that is enabled.", now("geodynamo_trigger_enabled"), "none", 8),
        row("Kinesis streaming destinations"),
        series("Age", "Of the oldest record that the stream has not taken.", now_to("geodynamo_kinesis_age_seconds"), "s", 6),
        series("Records sent", "The streams have taken them.", rate_to("geodynamo_kinesis_delivered_records_total"), "ops", 6),
        series("Failures to send", "A stream did not take a call, or not wholly.", rate_to("geodynamo_kinesis_failures_total"), "ops", 6),
        series("Records lost", lost, now_to("geodynamo_kinesis_lost_records_total"), "none", 6),
        row("Sinks"),
        series("Lag", "Age of the oldest change that the copy does not have.", now_of("geodynamo_sink_lag_seconds"), "s", 6),
        series("Changes copied", "The copies took them.", rate_of("geodynamo_sink_changes_total"), "ops", 6),
        series("Commits", "Transactions that brought changes.", rate_of("geodynamo_sink_commits_total"), "ops", 6),
        series("Failures to copy", "A copy could not be reached or changed.", rate_of("geodynamo_sink_failures_total"), "ops", 6),
        series("Copies begun", "With a snapshot.", now_of("geodynamo_sink_loads_total"), "none", 6),
        series("Items of snapshots", "The copies took them.", rate_of("geodynamo_sink_loaded_items_total"), "ops", 6),
    ]
