"""Hold the HTML report's style sheet.

It is light or dark as the reader's system asks, light on paper, and loads nothing from outside.
"""

__all__ = ["STYLE"]

STYLE = """
:root{--ink:#1c2430;--soft:#5b6675;--page:#f3f5f8;--card:#fff;--line:#dde2ea;--head:#f4f6fa;
--up:#1f5fd0;--down:#b34d00;--good:#0f7a45;--warn:#9a5b00;
--bad:#b3202f;--info:#1f5fd0;--part:#8fb0ea;--track:#e6eaf0;--shadow:0 1px 2px rgba(20,30,50,.06)}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e7ebf2;--soft:#a3aebd;--page:#0f131a;
--card:#171c24;--line:#323b49;--head:#1f2631;--up:#6ea3ff;
--down:#ff9a4d;--good:#3fce86;--warn:#f0b354;--bad:#ff7381;--info:#6ea3ff;--part:#3f5f96;
--track:#2a3240;--shadow:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 2px}h2{font-size:21px;margin:0;line-height:1.3}
h3{font-size:16px;margin:30px 0 10px}
p{margin:8px 0}a{color:var(--info)}
code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
overflow-wrap:anywhere}
.soft{color:var(--soft)}.card{background:var(--card);border:1px solid var(--line);
border-radius:14px;padding:22px 24px;margin:20px 0;box-shadow:var(--shadow)}
.badge{display:inline-block;padding:2px 12px;border-radius:999px;border:1.5px solid;font-size:13px;
font-weight:600;margin-bottom:8px}
.committed{color:var(--good)}.void{color:var(--warn)}.not-opened{color:var(--bad)}
.open,.frozen,.released{color:var(--info)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:10px;margin:18px 0;
padding:0}
.tiles div{background:var(--head);border:1px solid var(--line);border-radius:10px;padding:10px 14px}
.tiles dt{color:var(--soft);font-size:13px}
.tiles dd{margin:0;font-size:21px;font-weight:650;font-variant-numeric:tabular-nums}
.tiles dd small{font-size:13px;font-weight:400;color:var(--soft)}.tiles .alert dd{color:var(--down)}
.said{margin:14px 0;padding-left:20px}.said li{margin:5px 0}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,470px),1fr));gap:14px;
align-items:start;margin:18px 0}
figure{margin:0}.alone figure{max-width:640px}figure svg{display:block;width:100%;height:auto}
figure.wide svg{max-width:820px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}
caption{text-align:left;color:var(--soft);padding:0 0 6px;font-size:13px}
th,td{padding:6px 10px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:break-word}td code{overflow-wrap:anywhere}
td code[title]{white-space:nowrap}
thead th{background:var(--head);color:var(--soft);font-weight:600;font-size:13px;white-space:nowrap}
tbody th{font-weight:500;min-width:8.5em}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.tag{font-size:12px;font-weight:600;color:var(--bad);margin-left:6px;white-space:nowrap}
.meter{display:inline-block;width:74px;height:8px;border-radius:4px;background:var(--track);
margin-right:9px;vertical-align:1px;overflow:hidden;position:relative}
.meter i{position:absolute;top:0;bottom:0;left:0;background:var(--up);border-radius:4px}
.meter i.down{background:var(--down)}
.meter i.mid{background:var(--part)}
.meter.wide{width:100%;height:12px;border-radius:6px;margin:6px 0}
.plus{color:var(--up)}.minus{color:var(--down)}.none{color:var(--soft)}
details{margin-top:8px}summary{cursor:pointer;color:var(--info);padding:6px 0}
.statement{border-left:4px solid var(--warn);padding:2px 0 2px 14px;margin:12px 0}
footer{color:var(--soft);font-size:13px;margin-top:24px}
@media print{body{background:#fff;font-size:11px}table{font-size:11px}th,td{padding:4px 8px}
.pictures:not(.alone){grid-template-columns:1fr 1fr}
main{max-width:none;padding:0}.card{border:0;padding:0;box-shadow:none;break-before:page}
.card:first-of-type{break-before:auto}figure,tr,.tiles{break-inside:avoid}h3{break-after:avoid}
.scroll{overflow:visible}nav{display:none}
details::details-content{content-visibility:visible;display:block;height:auto}summary{display:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
""".strip()
