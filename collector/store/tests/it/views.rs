//! The views are those that `contract` promises to dashboards.

use crate::house::House;

#[tokio::test]
async fn views_have_the_columns_that_contract_names() {
    let (house, _store) = House::migrated().await;
    let made = house
        .ask(
            "SELECT table, arrayStringConcat(groupArray(name), ',') FROM
             (SELECT table, name FROM system.columns WHERE database = 'driftline' AND table LIKE 'dash\\_%'
              ORDER BY table, position) GROUP BY table ORDER BY table",
        )
        .await;
    let mut promised: Vec<String> =
        contract::views::ALL.iter().map(|view| format!("{}\t{}", view.name, view.columns.join(","))).collect();
    promised.sort();
    assert_eq!(made.lines().collect::<Vec<_>>(), promised);
    for view in contract::views::ALL {
        let columns = view.columns.join(", ");
        house.ask(&format!("SELECT {columns} FROM {} WHERE at > now() - INTERVAL 1 DAY", view.name)).await;
    }
}
