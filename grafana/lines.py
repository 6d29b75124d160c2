"""What rows of panels are made of: a metric as it is, and its rate."""


def lines(series, region):
    """Panels of a metric's values, and of its rate, in the dashboards' own form; `region` is the selector of regions."""

    def now(title, description, metric, unit="none", legend="{{region}}"):
        return series(title, description, [(f"{metric}{{{region}}}", legend)], unit, 8)

    def rate(title, description, metric, unit="ops", legend="{{region}}"):
        return series(title, description, [(f"rate({metric}{{{region}}}[$__rate_interval])", legend)], unit, 8)

    return now, rate
