//! What is recognized, how far each recognizer can be trusted, and how often it hit.

use std::collections::BTreeMap;

/// What a recognizer has to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// A published check digit or checksum: a slip of the pen is not recognized.
    Checksum,
    /// A published structure: prefixes, ranges, alphabets, lengths.
    Structure,
    /// Little structure: only beside a word that names it, within 30 characters. Weaker: it misses and it overreaches.
    Context,
    /// Nothing here finds it: a model or a rule of the configuration does.
    Given,
}

macro_rules! entities {
    ($($(#[doc = $doc:literal])+ $variant:ident $label:literal $marker:literal $strength:ident;)+) => {
        /// A kind of personal data. The order is that of trust: where two overlap, the earlier names the replacement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Entity {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Entity {
            /// All of them.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// The word in metrics and in the configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// What stands in its place.
            #[must_use]
            pub const fn marker(self) -> &'static str {
                match self { $(Self::$variant => concat!("[", $marker, "]"),)+ }
            }

            /// What its recognizer goes by.
            #[must_use]
            pub const fn strength(self) -> Strength {
                match self { $(Self::$variant => Strength::$strength,)+ }
            }

            /// What it is, in words.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

entities! {
    /// Private key in PEM or OpenPGP armour.
    PrivateKey "private_key" "PRIVATE_KEY" Structure;
    /// JSON web token (RFC 7519).
    Jwt "jwt" "JWT" Structure;
    /// User and password in a URL.
    UrlCredentials "url_credentials" "URL_CREDENTIALS" Structure;
    /// Secret in a URL's query.
    UrlSecret "url_secret" "URL_SECRET" Structure;
    /// Cloud or API key in its issuer's format.
    ApiKey "api_key" "API_KEY" Structure;
    /// E-mail address.
    Email "email" "EMAIL" Structure;
    /// International bank account number.
    Iban "iban" "IBAN" Checksum;
    /// Address of a crypto currency.
    CryptoWallet "crypto_wallet" "CRYPTO_WALLET" Checksum;
    /// Payment card number.
    Card "card" "CARD" Checksum;
    /// United States social security number.
    UsSsn "us_ssn" "US_SSN" Structure;
    /// United States individual taxpayer identification number.
    UsItin "us_itin" "US_ITIN" Structure;
    /// United States employer identification number.
    UsEin "us_ein" "US_EIN" Context;
    /// United States national provider identifier.
    UsNpi "us_npi" "US_NPI" Checksum;
    /// United States bank routing number (ABA).
    UsAba "us_aba" "US_ABA" Checksum;
    /// United Kingdom national insurance number.
    UkNino "uk_nino" "UK_NINO" Structure;
    /// United Kingdom NHS number.
    UkNhs "uk_nhs" "UK_NHS" Checksum;
    /// German tax identification number.
    DeTaxId "de_tax_id" "DE_TAX_ID" Checksum;
    /// German value added tax number.
    DeVat "de_vat" "DE_VAT" Checksum;
    /// French social security number (NIR).
    FrNir "fr_nir" "FR_NIR" Checksum;
    /// Spanish identity number (DNI).
    EsDni "es_dni" "ES_DNI" Checksum;
    /// Spanish identity number of foreigners (NIE).
    EsNie "es_nie" "ES_NIE" Checksum;
    /// Italian tax code (codice fiscale).
    ItFiscalCode "it_fiscal_code" "IT_FISCAL_CODE" Checksum;
    /// Polish personal number (PESEL).
    PlPesel "pl_pesel" "PL_PESEL" Checksum;
    /// Brazilian tax number of persons (CPF).
    BrCpf "br_cpf" "BR_CPF" Checksum;
    /// Indian identity number (Aadhaar).
    InAadhaar "in_aadhaar" "IN_AADHAAR" Checksum;
    /// Indian tax number (PAN).
    InPan "in_pan" "IN_PAN" Structure;
    /// Canadian social insurance number.
    CaSin "ca_sin" "CA_SIN" Checksum;
    /// Australian tax file number.
    AuTfn "au_tfn" "AU_TFN" Checksum;
    /// IP address, version 6.
    Ipv6 "ipv6" "IPV6" Structure;
    /// Hardware address (MAC).
    Mac "mac" "MAC" Structure;
    /// IP address, version 4.
    Ipv4 "ipv4" "IPV4" Structure;
    /// Date of birth.
    DateOfBirth "date_of_birth" "DATE_OF_BIRTH" Context;
    /// Passport number.
    Passport "passport" "PASSPORT" Context;
    /// Driving licence number.
    DrivingLicence "driving_licence" "DRIVING_LICENCE" Context;
    /// Telephone number.
    Phone "phone" "PHONE" Structure;
    /// A person's name.
    Person "person" "PERSON" Given;
    /// A place.
    Place "place" "PLACE" Given;
    /// An organisation.
    Organisation "organisation" "ORGANISATION" Given;
    /// What a rule of the configuration finds.
    Custom "custom" "CUSTOM" Given;
}

impl Entity {
    /// The entity that a configuration names.
    #[must_use]
    pub fn named(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entity| entity.as_str() == label)
    }
}

/// How often each entity was replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Replacements by entity that a recognizer or a rule found; an entity that was not met is absent.
    pub by_entity: BTreeMap<Entity, u64>,
    /// Replacements of spans that the caller gave: a model's findings, which a second pass cannot repeat.
    pub given: BTreeMap<Entity, u64>,
}

impl Hits {
    /// Notes one replacement.
    pub(crate) fn add(&mut self, entity: Entity) {
        *self.by_entity.entry(entity).or_default() += 1;
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.by_entity, &other.by_entity), (&mut self.given, &other.given)] {
            for (entity, count) in theirs {
                *mine.entry(*entity).or_default() += count;
            }
        }
    }

    /// All replacements, those of given spans aside.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_entity.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_words_and_few_enough_for_a_label() {
        let labels: std::collections::BTreeSet<_> = Entity::ALL.iter().map(|e| e.as_str()).collect();
        assert_eq!(labels.len(), Entity::ALL.len());
        // one bit each in a set of contexts
        assert!(Entity::ALL.len() <= 64);
        for entity in Entity::ALL {
            assert_eq!(Entity::named(entity.as_str()), Some(entity));
            assert_eq!(entity.marker(), format!("[{}]", entity.as_str().to_uppercase()));
        }
    }
}
