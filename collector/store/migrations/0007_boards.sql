-- Views for the drift and debug boards. Their names and columns are those of `contract::views`; a test compares them.

-- Where a request's time went. `rest_ms` is what no stage claims: decoding, encoding, waiting for the client's bytes.
CREATE OR REPLACE VIEW dash_stages AS
SELECT
    at,
    id,
    model,
    version,
    outcome,
    tokenize_us / 1000 AS tokenize_ms,
    queue_us / 1000 AS queue_ms,
    infer_us / 1000 AS infer_ms,
    greatest(toInt64(total_us) - toInt64(tokenize_us + queue_us + infer_us), 0) / 1000 AS rest_ms,
    total_us / 1000 AS total_ms
FROM observations;

-- A window beside its reference, in parts that a person can look at: twentieths of the reference by quantile, each value that
-- holds a twentieth alone (an atom), the thirty most frequent categories, and everything that is no ordinary value: below and
-- above the reference, infinite, NaN, missing, never seen, of another type. Every part has a row, so that one that lost
-- all its values is seen. `key` orders the parts: a range that begins at bin `b` is 2b + 1, an atom 2b. The numbers of
-- bins and cells are those of the analyzer's references.
CREATE OR REPLACE VIEW dash_bins AS
WITH frozen AS (
    SELECT
        model,
        feature,
        fingerprint,
        JSONExtractString(bins, 'kind') = 'numbers' AS is_numbers,
        JSONExtract(bins, 'edges', 'Array(Float64)') AS edges,
        JSONExtract(bins, 'names', 'Array(String)') AS names,
        JSONExtract(bins, 'counts', 'Array(UInt64)') AS counts,
        toInt32(if(is_numbers, length(edges) + 1, length(names))) AS last,
        greatest(last - 2, 1) AS inner_cells,
        arrayMap(
            (c, n) -> toInt32(if(
                is_numbers,
                multiIf(
                    c = 0 OR c = last + 1, 3000000,
                    c = 1, 0,
                    c = last, 2999999,
                    c > last + 1, 3000000 + c - last - 1,
                    n * 20 >= m AND abs(reinterpretAsInt64(edges[c]) - reinterpretAsInt64(edges[c - 1])) = 1, 2 * c,
                    2 * (2 + intDiv(intDiv((c - 2) * 20, inner_cells) * inner_cells + 19, 20)) + 1
                ),
                multiIf(
                    c < least(last, 30), c,
                    c < last, 30,
                    c = last, 3000004,
                    c = last + 1, 3000002,
                    3000003
                )
            )),
            arrayMap(c -> toInt32(c), range(length(counts))),
            counts
        ) AS keys,
        arraySort(arrayDistinct(keys)) AS parts,
        arrayMap(p -> arraySum(arrayMap((k, n) -> if(k = p, n, 0), keys, counts)) / m, parts) AS shares,
        arrayMap(
            p -> multiIf(
                p = 3000000, 'infinite',
                p = 3000001, 'NaN',
                p = 3000002, 'missing',
                p = 3000003, 'other type',
                p = 3000004, 'never seen',
                NOT is_numbers, 'category',
                p = 0, 'below',
                p = 2999999, 'above',
                p % 2 = 0, 'atom',
                'range'
            ),
            parts
        ) AS kinds,
        arrayMap(
            (p, kind) -> multiIf(
                kind = 'category', if(p = 30, 'rarer ones', names[p + 1]),
                kind = 'below', if(last = 1, 'any number', concat('below ', printf('%.4g', edges[1]))),
                kind = 'above', concat('above ', printf('%.4g', edges[last - 1])),
                kind = 'atom', concat('= ', printf('%.4g', edges[intDiv(p, 2) - 1])),
                kind = 'range', concat('from ', printf('%.4g', edges[intDiv(p, 2) - 1])),
                kind
            ),
            parts,
            kinds
        ) AS labels
    FROM (
        SELECT
            model,
            feature,
            fingerprint,
            argMax(b.bins, frozen_at) AS bins,
            greatest(argMax(b.m, frozen_at), 1) AS m
        FROM baselines AS b
        GROUP BY model, feature, fingerprint
    )
)
SELECT
    at,
    model,
    version,
    feature,
    part,
    label,
    kind,
    reference,
    counted[indexOf(filled, part)] AS current
FROM (
    SELECT
        at,
        model,
        version,
        feature,
        any(w.parts) AS parts,
        any(w.labels) AS labels,
        any(w.kinds) AS kinds,
        any(w.shares) AS shares,
        groupArray(w.key) AS filled,
        groupArray(w.n) AS counted
    FROM (
        SELECT
            c.window_end AS at,
            c.model AS model,
            c.version AS version,
            c.feature AS feature,
            any(f.parts) AS parts,
            any(f.labels) AS labels,
            any(f.kinds) AS kinds,
            any(f.shares) AS shares,
            f.keys[1 + if(
                f.is_numbers,
                multiIf(c.bin = -1, f.last + 2, c.bin = -2, f.last + 3, c.bin BETWEEN 0 AND f.last + 1, c.bin, f.last + 4),
                multiIf(c.bin = -4, f.last, c.bin = -2, f.last + 1, c.bin BETWEEN 0 AND f.last - 1, c.bin, f.last + 2)
            )] AS key,
            sum(c.n) AS n
        FROM bin_counts AS c FINAL
        INNER JOIN frozen AS f ON c.model = f.model AND c.feature = f.feature AND c.fingerprint = f.fingerprint
        GROUP BY at, model, version, feature, key
    ) AS w
    GROUP BY at, model, version, feature
)
ARRAY JOIN
    parts AS part,
    labels AS label,
    kinds AS kind,
    shares AS reference;
