// Dark and light: as the system has it unless the reader says otherwise. Charts are told, since a canvas does not inherit.

import { useEffect, useState } from "preact/hooks";

const CHOICES = ["auto", "light", "dark"] as const;
export type Choice = (typeof CHOICES)[number];
const KEPT = "driftline-theme";

function kept(): Choice {
  try {
    const choice = localStorage.getItem(KEPT);
    return CHOICES.find((one) => one === choice) ?? "auto";
  } catch {
    return "auto";
  }
}

let choice = kept();
const readers = new Set<() => void>();
const system = matchMedia("(prefers-color-scheme: dark)");
const apply = () => {
  document.documentElement.dataset.theme = choice;
  readers.forEach((read) => read());
};
system.addEventListener("change", apply);
document.documentElement.dataset.theme = choice;

export function nextTheme(): void {
  choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length]!;
  try {
    localStorage.setItem(KEPT, choice);
  } catch {
    // a browser that keeps nothing still changes for now
  }
  apply();
}

/** The choice, and a key that changes with the colours. */
export function useTheme(): { choice: Choice; key: string } {
  const read = () => ({ choice, key: `${choice}${system.matches}` });
  const [theme, set] = useState(read);
  useEffect(() => {
    const changed = () => set(read());
    readers.add(changed);
    return () => void readers.delete(changed);
  }, []);
  return theme;
}

let probe: HTMLElement | null = null;

/** A colour of the style sheet, resolved: a canvas takes no variables. */
export function colour(name: string, opacity = 1): string {
  if (!probe) {
    probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = opacity === 1 ? `var(--${name})` : `color-mix(in srgb, var(--${name}) ${opacity * 100}%, transparent)`;
  return getComputedStyle(probe).color;
}
