//! Where panels go: rows from top to bottom, panels from left to right, a new line where 24 columns are full.

use serde_json::{Value, json};

use super::panel::Panel;

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;

/// A titled group of panels.
pub struct Row {
    title: &'static str,
    panels: Vec<Panel>,
}

/// A row.
pub fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, panels }
}

/// All panels with ids and places, each row under its header.
pub fn place(rows: Vec<Row>) -> Vec<Value> {
    let mut placed = Vec::new();
    let mut y = 0;
    for row in rows {
        let id = next_id(&placed);
        placed.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
        }));
        y += 1;
        let (mut x, mut tallest) = (0, 0);
        for panel in row.panels {
            if x + panel.width > COLUMNS {
                y += tallest;
                (x, tallest) = (0, 0);
            }
            placed.push(panel.json(next_id(&placed), x, y));
            x += panel.width;
            tallest = tallest.max(panel.height);
        }
        y += tallest;
    }
    placed
}

fn next_id(placed: &[Value]) -> u32 {
    u32::try_from(placed.len()).unwrap_or(u32::MAX - 1) + 1
}
