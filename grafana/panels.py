"""What dashboards are made of: panels of each kind, and the frame around them, in Grafana's classic JSON."""

WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The histograms whose buckets have exemplars: the traces of what took so long.
EXEMPLARS = ("geodynamo_request_duration_seconds_bucket", "geodynamo_replication_latency_seconds_bucket")


def quantile(q, metric, labels, by=None):
    grouping = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({grouping}) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "width": WIDTH, "height": 1}


def panel(kind, title, description, queries, unit, width, height=8, *, custom=None, options=None, thresholds=None, formats=None):
    defaults = {"unit": unit}
    if custom is not None:
        defaults["custom"] = custom
    if thresholds:
        defaults["thresholds"] = {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in thresholds]}
        defaults["color"] = {"mode": "thresholds"}
    targets = [
        {
            "refId": chr(65 + place),
            "datasource": SOURCE,
            "expr": query,
            "legendFormat": legend,
            **({"exemplar": True} if any(name in query for name in EXEMPLARS) and kind in ("timeseries", "heatmap") else {}),
            **(formats or {"range": True}),
        }
        for place, (query, legend) in enumerate(queries)
    ]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options or {},
        "width": width,
        "height": height,
    }


def series(title, description, queries, unit, width):
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, description, queries, unit, width, custom=custom, options=options)


def stat(title, description, query, unit, width, thresholds=(("green", None),)):
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }
    return panel("stat", title, description, [(query, "")], unit, width, 4, options=options, thresholds=thresholds)


def heatmap(title, description, query, width):
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Turbo", "exponent": 0.5, "fill": "dark-orange", "reverse": False, "steps": 64},
        "yAxis": {"unit": "s", "axisPlacement": "left", "reverse": False},
        "rowsFrame": {"layout": "auto"},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": True},
        "filterValues": {"le": 1e-9},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "showValue": "never",
    }
    formats = {"format": "heatmap", "range": True}
    return panel("heatmap", title, description, [(query, "{{le}}")], "s", width, 10, options=options, formats=formats)


def states(title, description, query, legend, width):
    options = {
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    thresholds = [("red", None), ("green", 1)]
    return panel("state-timeline", title, description, [(query, legend)], "none", width, options=options, thresholds=thresholds, custom={"lineWidth": 0, "fillOpacity": 80})


def grid(title, description, query, width):
    options = {"showHeader": True, "cellHeight": "sm"}
    found = panel("table", title, description, [(query, "")], "none", width, options=options, formats={"format": "table", "instant": True})
    hidden = {"Time": True, "Value": True, "__name__": True, "job": True}
    found["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return found


def matrix(title, description, query, width):
    found = panel("table", title, description, [(query, "")], "s", width, options={"showHeader": True, "cellHeight": "sm"}, formats={"format": "table", "instant": True})
    found["transformations"] = [
        {"id": "groupingToMatrix", "options": {"columnField": "region", "rowField": "from_region", "valueField": "Value"}}
    ]
    return found


def dashboard(title, uid, panels, operation=False, peer=False, table=False):
    x = y = tallest = 0
    for number, each in enumerate(panels, 1):
        width, height = each.pop("width"), each.pop("height")
        if x + width > WIDTH or each["type"] == "row":
            x, y, tallest = 0, y + tallest, 0
        each["id"] = number
        each["gridPos"] = {"x": x, "y": y, "w": width, "h": height}
        x, tallest = x + width, max(tallest, height)
    variables = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1},
        variable("region", "Region", "label_values(geodynamo_region_info, region)"),
    ]
    if operation:
        variables.append(variable("operation", "Operation", "label_values(geodynamo_request_duration_seconds_count, operation)"))
    if table:
        variables.append(variable("table", "Table", "label_values(geodynamo_table_consumed_read_units_total, table)"))
    if peer:
        variables.append(variable("peer", "Peer", "label_values(geodynamo_link_up, peer_region)"))
    links = {"type": "dashboards", "title": "geodynamo", "tags": ["geodynamo"], "asDropdown": False, "includeVars": True, "keepTime": True}
    return {
        "uid": f"geodynamo-{uid}",
        "title": f"geodynamo / {title}",
        "tags": ["geodynamo"],
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables},
        "annotations": {"list": []},
        "links": [links],
        "panels": panels,
    }


def variable(name, label, query):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "variable"},
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
    }
