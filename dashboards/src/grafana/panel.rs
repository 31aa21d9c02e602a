//! Panels: Grafana's JSON, and the few choices that are the same everywhere.

use serde_json::{Value, json};

use super::{CLICKHOUSE, CLICKHOUSE_PLUGIN, PROMETHEUS};

/// A panel that has no place yet.
#[derive(Clone, Debug)]
pub struct Panel {
    kind: &'static str,
    title: String,
    description: String,
    /// Columns of 24.
    pub width: u32,
    /// Grid rows.
    pub height: u32,
    source: Value,
    targets: Vec<Value>,
    defaults: Value,
    options: Value,
}

fn prometheus() -> Value {
    json!({ "type": "prometheus", "uid": PROMETHEUS })
}

fn clickhouse() -> Value {
    json!({ "type": CLICKHOUSE_PLUGIN, "uid": CLICKHOUSE })
}

/// A query of rows, as the ClickHouse plugin stores it.
pub fn sql_target(ref_id: &str, sql: &str) -> Value {
    json!({
        "refId": ref_id,
        "datasource": clickhouse(),
        "editorType": "sql",
        "queryType": "table",
        "format": 1,
        "rawSql": sql,
    })
}

impl Panel {
    fn new(kind: &'static str, title: &str, description: &str, unit: &str) -> Self {
        Self {
            kind,
            title: title.into(),
            description: description.into(),
            width: 8,
            height: 8,
            source: prometheus(),
            targets: vec![],
            defaults: json!({
                "unit": unit,
                "color": { "mode": "palette-classic" },
                "thresholds": { "mode": "absolute", "steps": [{ "color": "green", "value": null }] },
            }),
            options: json!({}),
        }
    }

    /// Lines over time.
    pub fn lines(title: &str, description: &str, unit: &str) -> Self {
        let mut panel = Self::new("timeseries", title, description, unit);
        panel.defaults["custom"] = json!({
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": false,
            "axisSoftMin": 0, "thresholdsStyle": { "mode": "off" }
        });
        panel.options = json!({
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
            "tooltip": { "mode": "multi", "sort": "desc" }
        });
        panel
    }

    /// One number.
    pub fn number(title: &str, description: &str, unit: &str) -> Self {
        let mut panel = Self::new("stat", title, description, unit);
        panel.options = json!({
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "textMode": "auto"
        });
        panel.defaults["color"] = json!({ "mode": "thresholds" });
        panel.sized(4, 4)
    }

    /// One bar a series, the last value.
    pub fn bars(title: &str, description: &str, unit: &str) -> Self {
        let mut panel = Self::new("bargauge", title, description, unit);
        panel.options = json!({
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            "orientation": "horizontal", "displayMode": "basic", "showUnfilled": true, "minVizHeight": 14, "valueMode": "color"
        });
        panel.defaults["color"] = json!({ "mode": "thresholds" });
        panel
    }

    /// States over time, one line a series.
    pub fn states(title: &str, description: &str) -> Self {
        let mut panel = Self::new("state-timeline", title, description, "short");
        panel.defaults["custom"] = json!({ "fillOpacity": 75, "lineWidth": 0 });
        panel.defaults["color"] = json!({ "mode": "thresholds" });
        panel.options = json!({
            "mergeValues": true, "showValue": "never", "rowHeight": 0.85, "alignValue": "left",
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
            "tooltip": { "mode": "single", "sort": "none" }
        });
        panel
    }

    /// Rows of a query.
    pub fn rows(title: &str, description: &str, unit: &str, sql: &str) -> Self {
        let mut panel = Self::new("table", title, description, unit);
        panel.source = clickhouse();
        panel.targets = vec![sql_target("A", sql)];
        panel.options = json!({ "cellHeight": "sm", "showHeader": true, "footer": { "show": false, "reducer": ["sum"], "fields": "" } });
        panel.sized(24, 9)
    }

    /// Lines from rows.
    pub fn lines_of_rows(title: &str, description: &str, unit: &str, sql: &str) -> Self {
        let mut panel = Self::lines(title, description, unit);
        panel.source = clickhouse();
        let mut target = sql_target("A", sql);
        target["queryType"] = json!("timeseries");
        target["format"] = json!(0);
        panel.targets = vec![target];
        panel
    }

    /// A heat map: a line a series, a cell a step, its colour the value between `low` and `high`.
    pub fn heat(title: &str, description: &str, unit: &str, (low, high): (f64, f64)) -> Self {
        let mut panel = Self::new("heatmap", title, description, unit);
        panel.defaults["custom"] = json!({ "scaleDistribution": { "type": "linear" } });
        panel.options = json!({
            "calculate": false, "cellGap": 0, "showValue": "never", "exemplars": { "color": "rgba(255,0,255,0.7)" },
            "color": {
                "mode": "scheme", "scheme": "RdYlGn", "reverse": true, "fill": "red", "scale": "linear", "exponent": 0.5,
                "steps": 64, "min": low, "max": high
            },
            "filterValues": {}, "rowsFrame": { "layout": "auto" }, "legend": { "show": true },
            "tooltip": { "mode": "single", "yHistogram": false, "showColorScale": true },
            "yAxis": { "axisPlacement": "left", "reverse": false, "unit": unit }
        });
        panel.sized(24, 12)
    }

    /// Bars from rows: a bar a row, named by the column `name`; the other columns are stacked in it, in their order.
    pub fn stacks_of_rows(title: &str, description: &str, unit: &str, name: &str, sql: &str) -> Self {
        let mut panel = Self::bars_of_rows(title, description, unit, name, sql);
        panel.options["orientation"] = json!("horizontal");
        panel.options["stacking"] = json!("normal");
        panel.sized(12, 12)
    }

    /// Bars from rows: a group a row, named by the column `name`; a bar each other column of numbers.
    pub fn bars_of_rows(title: &str, description: &str, unit: &str, name: &str, sql: &str) -> Self {
        let mut panel = Self::new("barchart", title, description, unit);
        panel.source = clickhouse();
        panel.targets = vec![sql_target("A", sql)];
        panel.defaults["custom"] =
            json!({ "fillOpacity": 80, "lineWidth": 0, "axisPlacement": "auto", "axisSoftMin": 0 });
        panel.options = json!({
            "xField": name, "orientation": "vertical", "stacking": "none", "showValue": "never", "groupWidth": 0.8,
            "barWidth": 0.95, "barRadius": 0, "fullHighlight": false, "xTickLabelRotation": -45, "xTickLabelSpacing": 0,
            "xTickLabelMaxLength": 32,
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
            "tooltip": { "mode": "multi", "sort": "none" }
        });
        panel.sized(24, 10)
    }

    /// Adds a series.
    pub fn series(mut self, expr: impl Into<String>, legend: &str) -> Self {
        let ref_id = char::from(b'A' + u8::try_from(self.targets.len()).unwrap_or(25).min(25)).to_string();
        let instant = matches!(self.kind, "bargauge");
        self.targets.push(json!({
            "refId": ref_id,
            "datasource": prometheus(),
            "expr": expr.into(),
            "legendFormat": legend,
            "editorMode": "code",
            "instant": instant,
            "range": !instant,
        }));
        self
    }

    /// Columns of 24, grid rows.
    pub fn sized(self, width: u32, height: u32) -> Self {
        Self { width, height, ..self }
    }

    /// From 0 to 1.
    pub fn a_share(mut self) -> Self {
        self.defaults["min"] = json!(0);
        self.defaults["max"] = json!(1);
        self
    }

    /// Colours from these values on, green below the first.
    pub fn from(mut self, steps: &[(f64, &str)]) -> Self {
        let above = steps.iter().map(|(value, colour)| json!({ "color": colour, "value": value }));
        let all: Vec<Value> = std::iter::once(json!({ "color": "green", "value": null })).chain(above).collect();
        self.defaults["thresholds"]["steps"] = json!(all);
        self
    }

    /// Colours from these values on, red below the first: where more is better.
    pub fn better_from(mut self, steps: &[(f64, &str)]) -> Self {
        self = self.from(steps);
        self.defaults["thresholds"]["steps"][0]["color"] = json!("red");
        self
    }

    /// Green between two lines, blue below them and red above: too little is no better than too much.
    pub fn band(mut self, low: f64, high: f64) -> Self {
        self = self.from(&[(low, "green"), (high, "red")]).with_lines();
        self.defaults["thresholds"]["steps"][0]["color"] = json!("blue");
        self
    }

    /// Draws the steps as lines.
    pub fn with_lines(mut self) -> Self {
        self.defaults["custom"]["thresholdsStyle"]["mode"] = json!("dashed");
        self
    }

    /// Words for values.
    pub fn named(mut self, words: &[(&str, &str, &str)]) -> Self {
        let options: serde_json::Map<String, Value> = words
            .iter()
            .enumerate()
            .map(|(index, (value, text, colour))| {
                ((*value).to_owned(), json!({ "text": text, "color": colour, "index": index }))
            })
            .collect();
        self.defaults["mappings"] = json!([{ "type": "value", "options": options }]);
        self
    }

    /// Stacks the series.
    pub fn stacked(mut self) -> Self {
        self.defaults["custom"]["stacking"] = json!({ "mode": "normal", "group": "A" });
        self.defaults["custom"]["fillOpacity"] = json!(40);
        self
    }

    /// As Grafana stores it.
    pub fn json(&self, id: u32, x: u32, y: u32) -> Value {
        json!({
            "id": id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": { "x": x, "y": y, "w": self.width, "h": self.height },
            "datasource": self.source,
            "targets": self.targets,
            "fieldConfig": { "defaults": self.defaults, "overrides": [] },
            "options": self.options,
        })
    }
}
