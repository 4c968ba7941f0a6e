"""The look of the page: light and dark, on a screen and on paper."""

from __future__ import annotations

SHEET = """
:root {
  --page: #f6f7f9; --card: #ffffff; --text: #1c2430; --muted: #5c6675; --line: #dfe3e8; --rest: #e9ecf0;
  --used: #3b6fb5; --saved: #7fc4a4; --ok: #2f8f63; --bad: #c8423b; --warn: #b07d1a;
    --other: #9a7bb5; --barred: #aab2bd;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181e; --card: #1d232b; --text: #e6e9ed; --muted: #9aa4b1; --line: #333b46; --rest: #2a313b;
    --used: #6ea0e0; --saved: #3f8a6a; --ok: #58b98a; --bad: #e8706a; --warn: #d9a94a;
    --other: #b79ad0; --barred: #5b6572;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 82rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 0.8rem; }
h3 { font-size: 0.95rem; margin: 0 0 0.2rem; }
p { margin: 0.3rem 0; }
.muted, .note { color: var(--muted); }
.note { font-size: 0.82rem; line-height: 1.4; }
.grid { display: grid; gap: 0.9rem; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); }
.charts { display: grid; gap: 0.9rem; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.9rem 1rem; min-width: 0;
  break-inside: avoid;
}
.value { font-size: 1.7rem; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums; }
.value.none { color: var(--muted); font-weight: 400; }
.verdict { font-size: 0.82rem; color: var(--muted); }
.met { color: var(--ok); } .not-met { color: var(--bad); } .whole { white-space: nowrap; }
.advice {
  display: grid; gap: 0.9rem; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr));
}
.advice .card { border-left: 4px solid var(--warn); }
.advice ul { margin: 0.3rem 0 0; padding-left: 1.1rem; font-size: 0.9rem; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--muted); font-size: 12px; }
svg text.end { text-anchor: end; } svg text.middle { text-anchor: middle; } svg text.name { fill: var(--text); }
.grid-line { stroke: var(--line); } .target { stroke: var(--text); stroke-dasharray: 3 3; }
.used { fill: var(--used); } .saved { fill: var(--saved); } .ok { fill: var(--ok); } .bad { fill: var(--bad); }
.other { fill: var(--other); } .barred { fill: var(--barred); }
.rest { fill: var(--rest); } .heat { fill: var(--used); }
.key { display: inline-flex; gap: 1rem; flex-wrap: wrap; }
.key i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.35em; }
i.used { background: var(--used); } i.saved { background: var(--saved); } i.bad { background: var(--bad); }
i.ok { background: var(--ok); } i.other { background: var(--other); } i.barred { background: var(--barred); }
i.rest { background: var(--rest); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.28rem 0.6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--muted); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.words { white-space: normal; text-align: left; overflow-wrap: anywhere; min-width: 12rem; }
th.words { text-align: left; }
.names { columns: 14rem; overflow-wrap: anywhere; margin: 0; padding-left: 1.1rem; }
footer { margin-top: 2.5rem; }
@media print {
  :root {
    --page: #ffffff; --card: #ffffff; --text: #000000; --muted: #444444; --line: #cccccc; --rest: #e9ecf0;
    --used: #3b6fb5; --saved: #7fc4a4; --ok: #2f8f63; --bad: #c8423b; --warn: #b07d1a;
    --other: #9a7bb5; --barred: #aab2bd;
  }
  body { max-width: none; padding: 0; font-size: 11px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  .grid { grid-template-columns: repeat(4, 1fr); }
  .value { font-size: 1.3rem; }
  .charts { grid-template-columns: 1fr 1fr; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
}
"""
