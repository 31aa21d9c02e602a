//! The pure core: numbers and time come in, verdicts go out. No I/O, no clock, no async.
//!
//! | module | what |
//! |---|---|
//! | [`ks`] | exact and asymptotic two-sample Kolmogorov-Smirnov on raw samples |
//! | [`order`] | one order for numbers, NaN and missing: what rank tests see |
//! | [`ranks`] | Cramer-von Mises, Anderson-Darling, Mann-Whitney, Kuiper on raw samples |
//! | [`wasserstein`] | how far values moved, in their own unit |
//! | [`distances`] | Jensen-Shannon, Hellinger, total variation and others, chi-square and G, over merged bins |
//! | [`null`] | what those distances come to by chance |
//! | [`kolmogorov`] | the law of the one-sample statistic, `kstwo` |
//! | [`reference`] | frozen references: bins, counts, fingerprint |
//! | [`between`] | how far two frozen references are apart |
//! | [`bounds`] | certified bounds on the KS distance from bin counts |
//! | [`psi`] | population stability index over merged bins |
//! | [`shares`] | categories: largest difference of a share, G test |
//! | [`bh`] | Benjamini-Hochberg |
//! | [`causes`] | which parts of the traffic a shift comes from |
//! | [`quality`] | accuracy, precision, recall, calibration, AUROC and errors of numbers by labels |
//! | [`estimate`] | accuracy expected without labels, from calibrated confidence |
//! | [`concept`] | whether inputs moved, what they mean, or both |
//! | [`errors`] | whether answers err as often as they did |
//! | [`frechet`] | how far an embedding's projections moved, as a description |
//! | [`gate`] | the verdict of one window, and how states follow each other |
//! | [`selfcheck`] | a reference replayed against itself |
//! | [`sequential`] | the detector over windows: evidence with a bound on false alarms at every look |
//! | [`unusual`] | values that are missing, not numbers, of another type or never seen |
//! | [`waiting`] | what verdicts wait for, and whether waiting helps |
//! | [`watch`] | the detectors of all features of a model, one window further |
//! | [`agreement`] | shadow verdicts from paired answers |
//! | [`guardrails`] | what a shadow must not do beside disagreeing and failing |
//! | [`betting`] | means of bounded quantities, valid at every look |
//! | [`paired`] | classical tests of paired answers, as descriptions |
//! | [`burn`] | error budgets and burn rates from counts |
//! | [`display`] | reference and window in a few bars, for the page |

pub mod agreement;
pub mod betting;
pub mod between;
pub mod bh;
pub mod bounds;
pub mod burn;
pub mod causes;
pub mod concept;
pub mod display;
pub mod distances;
pub mod errors;
pub mod estimate;
pub mod frechet;
pub mod gate;
pub mod guardrails;
pub mod kolmogorov;
pub mod ks;
pub mod null;
pub mod order;
pub mod paired;
pub mod psi;
pub mod quality;
pub mod ranks;
pub mod reference;
pub mod selfcheck;
pub mod sentence;
pub mod sequential;
pub mod shares;
pub mod unusual;
pub mod waiting;
pub mod wasserstein;
pub mod watch;
