// Light or dark, as the system or as chosen; and the colours of the style sheet for the canvas.

const THEMES = ["system", "light", "dark"];
const KEY = "theme";

/** `changed()` is called when the colours have become others. */
export function theme(changed) {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  let known = new Map();
  // The style sheet's variables hold both colours of a pair; only a property that uses one is computed.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  const apply = (name) => {
    if (name === "system") delete root.dataset.theme;
    else root.dataset.theme = name;
    const label = name === "system" ? "Theme: as the system" : `Theme: ${name}`;
    button.title = label;
    button.setAttribute("aria-label", label);
    button.textContent = { system: "◐", light: "☀", dark: "☾" }[name];
    known = new Map();
  };
  const stored = localStorage.getItem(KEY);
  apply(THEMES.includes(stored) ? stored : "system");
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
    localStorage.setItem(KEY, next);
    apply(next);
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    known = new Map();
    changed();
  });

  return {
    /** The colour that a variable of the style sheet has now. */
    of(name) {
      if (!known.has(name)) {
        probe.style.color = `var(--${name})`;
        known.set(name, getComputedStyle(probe).color);
      }
      return known.get(name);
    },
  };
}
