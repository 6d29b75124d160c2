"""What runs on changes: the rows of the dashboards that show event source mappings."""


def rows(row, series, region):
    def rate(metric):
        return [(f"rate({metric}{{{region}}}[$__rate_interval])", "{{region}}, {{table}} → {{function}}")]

    def now(metric):
        return [(f"{metric}{{{region}}}", "{{region}}, {{table}} → {{function}}")]

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
    ]
