/** How a bell looks. The custom properties that begin with `--kairan-` are for the page. */
export const style = `\
:host{display:inline-block;position:relative;color-scheme:light dark;font:var(--kairan-font,14px/1.4 system-ui,sans-serif);\
color:var(--kairan-text,light-dark(#1d1f23,#ececea));--l:1px solid var(--kairan-line,light-dark(#dcdcd8,#3a3d42));\
--a:var(--kairan-accent,light-dark(#b3261e,#ffb4ab))}\
*{box-sizing:border-box;margin:0}\
:host([hidden]),[hidden]{display:none!important}\
button,a{font:inherit;color:inherit;background:none;border:0;cursor:pointer;text-align:start;text-decoration:none}\
:focus-visible{outline:2px solid var(--a);outline-offset:-2px}\
#bell{position:relative;padding:8px;border-radius:50%;display:block}\
svg{display:block;width:24px;height:24px;fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}\
#badge{position:absolute;top:0;inset-inline-end:0;min-width:18px;padding:0 4px;border-radius:9px;text-align:center;\
font-size:12px;line-height:18px;background:var(--a);color:var(--kairan-on-accent,light-dark(#fff,#1c1e21))}\
#panel{position:absolute;z-index:9;top:100%;inset-inline-end:0;width:var(--kairan-width,360px);max-height:min(480px,80vh);\
overflow:auto;background:var(--kairan-background,light-dark(#fff,#1c1e21));border:var(--l);border-radius:8px;box-shadow:0 4px 16px #0003}\
#head{display:flex;justify-content:space-between;align-items:center;padding:8px 12px}\
h2{font-size:1.15em}\
.act{padding:8px;color:var(--a)}\
ul{list-style:none;padding:0}\
li{border-top:var(--l);display:flex}\
.item{flex:1;padding:12px;border-inline-start:4px solid transparent;overflow-wrap:anywhere}\
.item:hover{background:#8882}\
.item>*{display:block}\
.new .item{border-color:var(--a)}\
li:not(.new) strong{font-weight:400}\
li:not(.new) .said{display:none}\
time,p{color:var(--kairan-quiet,light-dark(#595d66,#a9adb5))}\
p{display:inline-block;padding:12px}\
.said{position:absolute;opacity:0;pointer-events:none}\
@media(max-width:480px){#panel{position:fixed;inset:auto 0 0;width:auto;border-radius:8px 8px 0 0}}\
`

/** What a bell is made of. What has an id can be asked of it by `createBell`. */
export const html = `<button id="bell" part="button" aria-controls="panel" aria-expanded="false"><svg viewBox="0 0 24 24" aria-hidden="true">\
<path d="M6 10a6 6 0 0 1 12 0v4l2 3H4l2-3zM10 20h4"/></svg><span id="badge" part="badge" aria-hidden="true"></span></button>\
<span id="said" class="said" role="status"></span>\
<div id="panel" part="panel" role="dialog" aria-labelledby="title" tabindex="-1" hidden>\
<div id="head"><h2 id="title"></h2><button id="all" class="act"></button></div>\
<p id="note" role="status"></p><button id="retry" class="act"></button><ul id="list"></ul>\
<button id="more" class="act"></button></div>`
