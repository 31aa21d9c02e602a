//! Identifiers of countries, as a table: entity, form, whether a word must stand near, validator.
//!
//! The validators are in a file a region, each with the public specification it was written from. A form whose check is
//! too weak to stand alone (a Luhn digit passes one number in ten) needs a word.

use super::shape::Row;
use super::{america, asia, europe};
use crate::entity::Entity;

const fn row(entity: Entity, form: &'static str, check: fn(&[u8]) -> bool) -> Row {
    Row { entity, form, named: false, check }
}

const fn named(entity: Entity, form: &'static str, check: fn(&[u8]) -> bool) -> Row {
    Row { entity, form, named: true, check }
}

/// All forms.
pub(crate) const ROWS: &[Row] = &[
    row(Entity::UsSsn, "###-##-####", america::is_ssn),
    named(Entity::UsSsn, "### ## ####", america::is_ssn),
    named(Entity::UsSsn, "###.##.####", america::is_ssn),
    named(Entity::UsSsn, "#########", america::is_ssn),
    row(Entity::UsItin, "###-##-####", america::is_itin),
    named(Entity::UsItin, "### ## ####", america::is_itin),
    named(Entity::UsItin, "#########", america::is_itin),
    named(Entity::UsEin, "##-#######", america::is_ein),
    named(Entity::UsEin, "#########", america::is_ein),
    named(Entity::UsNpi, "##########", america::is_npi),
    named(Entity::UsAba, "#########", america::is_aba),
    named(Entity::UsAba, "####-####-#", america::is_aba),
    row(Entity::BrCpf, "###.###.###-##", america::is_cpf),
    row(Entity::BrCpf, "###########", america::is_cpf),
    named(Entity::CaSin, "###~###~###", america::is_sin),
    row(Entity::UkNino, "@@~##~##~##~^", europe::is_nino),
    named(Entity::UkNhs, "###~###~####", europe::is_nhs),
    row(Entity::DeTaxId, "## ### ### ###", europe::is_de_tax_id),
    row(Entity::DeTaxId, "###########", europe::is_de_tax_id),
    row(Entity::DeVat, "DE~#########", europe::is_de_vat),
    row(Entity::DeVat, "DE ### ### ###", europe::is_de_vat),
    row(Entity::FrNir, "#~##~##~#*~###~###~##", europe::is_nir),
    row(Entity::EsDni, "########~@", europe::is_dni),
    row(Entity::EsDni, "##.###.###~@", europe::is_dni),
    row(Entity::EsNie, "@~#######~@", europe::is_nie),
    row(Entity::ItFiscalCode, "@@@@@@**@**@***@", europe::is_fiscal_code),
    row(Entity::PlPesel, "###########", europe::is_pesel),
    row(Entity::InAadhaar, "####_####_####", asia::is_aadhaar),
    named(Entity::InAadhaar, "############", asia::is_aadhaar),
    row(Entity::InPan, "^^^^^####^", asia::is_pan),
    named(Entity::AuTfn, "###~###~###", asia::is_tfn),
    named(Entity::AuTfn, "########", asia::is_tfn),
    named(Entity::AuTfn, "## ### ###", asia::is_tfn),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What the specifications themselves give as right, and the same with a slip of the pen.
    #[test]
    fn published_examples() {
        for (entity, right, wrong) in [
            // SSA, "Invalid Social Security Numbers"
            (Entity::UsSsn, "078051120", "666051120"),
            // IRS Publication 1915: 9xx, group 50-65, 70-88, 90-92, 94-99
            (Entity::UsItin, "912701234", "912691234"),
            // IRS, "How EINs are assigned": prefixes by campus
            (Entity::UsEin, "123456789", "073456789"),
            // CMS, "Requirements for NPI check digit"
            (Entity::UsNpi, "1234567893", "1234567894"),
            // ABA routing number policy; the Federal Reserve Bank of Boston's own
            (Entity::UsAba, "011000015", "011000016"),
            // Receita Federal's modulus 11, twice
            (Entity::BrCpf, "11144477735", "11144477734"),
            // Canada Revenue Agency's test number
            (Entity::CaSin, "193456787", "193456788"),
            // HMRC manual NIM39110
            (Entity::UkNino, "QQ123456C", "QQ123456C"),
            // NHS data dictionary
            (Entity::UkNhs, "9434765919", "9434765918"),
            // BZSt's example
            (Entity::DeTaxId, "86095742719", "86095742718"),
            (Entity::DeVat, "DE136695976", "DE136695978"),
            // INSEE: 2 55 08 14 168 025 38
            (Entity::FrNir, "255081416802538", "255081416802539"),
            // Orden INT/2058/2008
            (Entity::EsDni, "12345678Z", "12345678A"),
            (Entity::EsNie, "X1234567L", "X1234567M"),
            // Decreto ministeriale 23/12/1976
            (Entity::ItFiscalCode, "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
            // gov.pl
            (Entity::PlPesel, "44051401359", "44051401358"),
            // UIDAI's sample, by Verhoeff
            (Entity::InAadhaar, "234123412346", "234123412347"),
            (Entity::InPan, "ABCPE1234F", "ABCXE1234F"),
            // ATO, withholding specification
            (Entity::AuTfn, "123456782", "123456789"),
        ] {
            let check =
                |text: &str| ROWS.iter().filter(|row| row.entity == entity).any(|row| (row.check)(text.as_bytes()));
            // QQ is never issued: HMRC writes its examples with it
            assert_eq!(check(right), !right.starts_with("QQ"), "{entity:?} {right}");
            assert!(!check(wrong), "{entity:?} {wrong}");
        }
    }
}
