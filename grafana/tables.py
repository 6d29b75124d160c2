"""Rows of panels by table, with CloudWatch's meanings: what requests to tables take, consume and come to; and where regions are."""

TABLE = 'table=~"$table"'
LATENCIES = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))


def requests(row, series, region):
    """Of the dashboard of regions."""
    chosen = f'{region},{TABLE},operation=~"$operation"'

    def rate(metric, labels=chosen):
        return f"rate(geodynamo_{metric}{{{labels}}}[$__rate_interval])"

    def latency(q):
        buckets = rate("table_request_duration_seconds_bucket")
        return f"histogram_quantile({q}, sum by (le, table) ({buckets}))"

    of_table = f"{region},{TABLE}"
    return [
        row("Tables"),
        series(
            "Requests by table",
            "Done; by the first 100 tables that the process knew, the rest as other.",
            [(f"sum by (table) ({rate('table_request_duration_seconds_count')})", "{{table}}")],
            "reqps",
            12,
        ),
        series(
            "Items returned",
            "By queries and scans (CloudWatch: ReturnedItemCount).",
            [(f"sum by (table, operation) ({rate('table_returned_items_total')})", "{{table}}, {{operation}}")],
            "ops",
            12,
        ),
        *(
            series(f"{name} by table", "Time of operations that were done (CloudWatch: SuccessfulRequestLatency).", [(latency(q), "{{table}}")], "s", 8)
            for q, name in LATENCIES
        ),
        series(
            "Failed conditions",
            "Of writes (CloudWatch: ConditionalCheckFailedRequests).",
            [(f"sum by (table) ({rate('table_failed_conditions_total', of_table)})", "{{table}}")],
            "ops",
            8,
        ),
        series(
            "Transaction conflicts",
            "Items that a request could not have (CloudWatch: TransactionConflict).",
            [(f"sum by (table) ({rate('table_transaction_conflicts_total', of_table)})", "{{table}}")],
            "ops",
            8,
        ),
        series(
            "Items expired",
            "Their time to live was over (CloudWatch: TimeToLiveDeletedItemCount).",
            [(f"sum by (table) ({rate('table_expired_items_total', of_table)})", "{{table}}")],
            "ops",
            8,
        ),
    ]


def capacity(row, series, region):
    """Of the dashboard of capacity and errors."""
    of_table = f"{region},{TABLE}"

    def units(kind, cloudwatch):
        consumed = f"sum by (table, index) (rate(geodynamo_table_consumed_{kind}_units_total{{{of_table}}}[$__rate_interval]))"
        provisioned = f"max by (table, index) (geodynamo_table_provisioned_{kind}_units{{{of_table}}})"
        name = "{{table}} {{index}}"
        return series(
            f"{kind.capitalize()} units",
            f"Consumed a second, and provisioned (CloudWatch: Consumed{cloudwatch}CapacityUnits, Provisioned{cloudwatch}CapacityUnits).",
            [(consumed, name), (provisioned, f"{name}, provisioned")],
            "none",
            12,
        )

    def throttled(kind, cloudwatch):
        query = f"sum by (table, index) (rate(geodynamo_table_throttled_{kind}_total{{{of_table}}}[$__rate_interval]))"
        return series(f"Throttled {kind}", f"Of items, or pages (CloudWatch: {cloudwatch}).", [(query, "{{table}} {{index}}")], "ops", 12)

    def ends(title, description, metric):
        query = f"sum by (table, operation) (rate(geodynamo_table_{metric}_total{{{of_table}}}[$__rate_interval]))"
        return series(title, description, [(query, "{{table}}, {{operation}}")], "ops", 8)

    return [
        row("Tables"),
        units("read", "Read"),
        units("write", "Write"),
        throttled("reads", "ReadThrottleEvents"),
        throttled("writes", "WriteThrottleEvents"),
        ends("Throttled requests", "Nothing of them was done (CloudWatch: ThrottledRequests).", "throttled_requests"),
        ends("User errors", "Refused for other reasons (CloudWatch: UserErrors); without a table that is there, as other.", "user_errors"),
        series(
            "Hot keys",
            "Units of the last five minutes, where contributor insights are on (CloudWatch: most accessed items).",
            [(f'topk(10, sum by (table, index, key) (geodynamo_table_key_weight{{{of_table},rule="PKC"}}))', "{{table}} {{index}} {{key}}")],
            "none",
            12,
        ),
        series(
            "Throttled keys",
            "Requests of the last five minutes, where contributor insights are on (CloudWatch: most throttled items).",
            [(f'topk(10, sum by (table, index, key) (geodynamo_table_key_weight{{{of_table},rule="PKT"}}))', "{{table}} {{index}} {{key}}")],
            "none",
            12,
        ),
        ends("System errors", "The server's fault (CloudWatch: SystemErrors).", "system_errors"),
    ]


def world(panel, region):
    """A map of the regions that have AWS's names, their markers as large as they have requests."""
    requests = f"sum by (region) (rate(geodynamo_request_duration_seconds_count{{{region}}}[$__rate_interval]))"
    place = f"max by (region, place, latitude, longitude) (geodynamo_region_place_info{{{region}}})"
    options = {
        "view": {"id": "zero", "lat": 20, "lon": 0, "zoom": 1, "allLayers": True},
        "controls": {"showZoom": True, "mouseWheelZoom": False, "showAttribution": True},
        "basemap": {"type": "default", "name": "World", "config": {}},
        "layers": [
            {
                "type": "markers",
                "name": "Regions",
                "tooltip": True,
                "location": {"mode": "coords", "latitude": "latitude", "longitude": "longitude"},
                "config": {
                    "showLegend": False,
                    "style": {
                        "size": {"field": "Value", "min": 6, "max": 24, "fixed": 8},
                        "color": {"fixed": "green"},
                        "opacity": 0.7,
                        "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
                        "text": {"mode": "field", "field": "region", "fixed": ""},
                        "textConfig": {"fontSize": 12, "offsetX": 0, "offsetY": 18, "textAlign": "center", "textBaseline": "middle"},
                    },
                },
            }
        ],
        "tooltip": {"mode": "details"},
    }
    found = panel(
        "geomap",
        "Regions",
        "Where they are, and their requests; of regions that are named like AWS's.",
        [(f"{place} * on (region) group_left () {requests}", "")],
        "reqps",
        24,
        12,
        options=options,
        formats={"format": "table", "instant": True},
    )
    numbers = [{"targetField": field, "destinationType": "number"} for field in ("latitude", "longitude")]
    found["transformations"] = [{"id": "convertFieldType", "options": {"conversions": numbers, "fields": {}}}]
    return found
