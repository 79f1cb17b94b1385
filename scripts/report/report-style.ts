/** The report's style sheet: grey, with colour for attacks, alarms and what was missed; light and dark as the reader's system has it. */
export const REPORT_STYLE = `
:root{--ground:#eef0f1;--panel:#fbfcfc;--strip:#e1e5e8;--grid:#dde2e5;--text:#1a2126;--muted:#48535a;--trace:#2f4a5e;--second:#7a6c3c;--soft:#a9b8c3;--softer:#cdd6dc;--attack:#f3ddb0;--warn:#744500;--alarm:#b3161b;--line:#c3cace}
@media (prefers-color-scheme:dark){:root{--ground:#191d20;--panel:#23282c;--strip:#2f363b;--grid:#353d42;--text:#e3e7ea;--muted:#a6b1b8;--trace:#a8c0d1;--second:#c9b883;--soft:#5d7180;--softer:#43515b;--attack:#4d4125;--warn:#f0b64a;--alarm:#ff7d74;--line:#424b51}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:14px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
header,main{max-width:1180px;margin:0 auto;padding:0 20px}
header{padding-top:24px}header p{margin:0;color:var(--muted)}h1{font-size:26px;margin:2px 0 4px}
.lead{font-size:16px;color:var(--text)!important;max-width:75ch}
section,.tiles>div{background:var(--panel);border:1px solid var(--line);border-radius:5px}
section{padding:14px 18px 16px;margin:14px 0}h2{font-size:17px;margin:0 0 6px}section>p{margin:0 0 8px;max-width:95ch}
.warning,.note{padding:9px 14px;border:1px solid var(--warn);border-left-width:6px;border-radius:4px;margin:14px 0;color:var(--warn);font-weight:600}
.note{border-color:var(--line);color:var(--text);font-weight:400}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(225px,1fr));gap:10px;margin:16px 0}
.tiles>div{padding:9px 14px 10px}dt{color:var(--muted)}dd{margin:0}.tiles b{display:block;font-size:22px;line-height:1.25}.tiles span{color:var(--muted);font-size:12.5px}
figure{margin:4px 0 10px;max-width:880px}figure.wide{max-width:none}svg{display:block;width:100%;height:auto}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:18px}.pair figure{max-width:460px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:6px 0}th,td{text-align:left;padding:3px 10px 3px 0;border-bottom:1px solid var(--grid);white-space:nowrap}th{color:var(--muted);font-weight:400}.number{text-align:right;padding:3px 0 3px 14px}
.fine{color:var(--muted);font-size:13px;margin:6px 0 0}ul.fine{padding-left:18px}
.facts{display:grid;grid-template-columns:auto 1fr;gap:2px 18px;margin:6px 0 10px}
summary{cursor:pointer;color:var(--muted)}summary:focus-visible{outline:2px solid var(--trace);outline-offset:2px}
.legend{display:flex;gap:18px;flex-wrap:wrap;font-size:13px}.key:before{content:"";display:inline-block;width:18px;border-top:2px solid var(--trace);margin-right:6px;vertical-align:4px}.key.dashed:before{border-top:2px dashed var(--second)}.key.bar:before{width:11px;height:11px;border:0;background:var(--soft);vertical-align:-1px}
text{fill:var(--text);font-size:12px}text.axis{fill:var(--muted)}text.heading{font-weight:650}text.attack-name{fill:var(--warn);font-size:11px;font-weight:650}
.grid{stroke:var(--grid)}.trace{fill:none;stroke:var(--trace);stroke-width:2;stroke-linejoin:round}.trace.thin{stroke-width:1.1}.trace.second{stroke:var(--second);stroke-dasharray:6 4}
.threshold{stroke:var(--muted);stroke-dasharray:5 4}.attack{fill:var(--attack)}.alarm,.missed{fill:var(--alarm)}.strip{fill:var(--strip)}
.down{fill:var(--softer)}.up{fill:var(--soft)}.ours,.delay{fill:var(--trace)}.baseline{fill:var(--soft)}.seen{fill:var(--softer)}
@media (max-width:640px){header,main{padding-left:10px;padding-right:10px}section{padding:12px}section>figure{overflow-x:auto}section>figure svg{min-width:680px}.tiles{grid-template-columns:repeat(auto-fit,minmax(150px,1fr))}}
@media print{body{background:#fff}section{break-inside:avoid}}
`;
