'use strict';
(() => {
  const all = [...document.querySelectorAll('details.c')];
  const chapters = [...document.querySelectorAll('section.chapter')];
  const search = document.getElementById('search');
  const choices = [...document.querySelectorAll('.filters input[type=checkbox]')];
  const kind = document.getElementById('kind');
  const book = document.getElementById('document');
  const shown = document.getElementById('shown');
  for (const c of all) c.text = (c.id + ' ' + c.querySelector('.st').textContent + ' ' + c.dataset.tests).toLowerCase();

  function apply() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(choices.filter(c => c.checked).map(c => c.value));
    let count = 0;
    for (const c of all) {
      const ok = c.dataset.words.split(' ').some(w => wanted.has(w)) && (!kind.value || c.dataset.kind === kind.value) &&
        (!book.value || c.dataset.document === book.value) && words.every(w => c.text.includes(w));
      c.classList.toggle('hide', !ok);
      count += ok;
    }
    for (const s of chapters) {
      const left = s.querySelectorAll('details.c:not(.hide)').length;
      s.classList.toggle('hide', left === 0);
      s.querySelector('small').textContent = left + ' of ' + s.dataset.count;
    }
    shown.textContent = count + ' of ' + all.length + ' clauses';
  }
  function follow() {
    const c = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (c && c.matches('details.c')) {
      c.classList.remove('hide');
      c.open = true;
      c.scrollIntoView({block: 'center'});
    }
  }
  for (const d of document.querySelectorAll('details.case')) d.addEventListener('toggle', () => {
    const trace = d.querySelector('pre.trace'); // the end is what matters
    if (trace) trace.scrollTop = trace.scrollHeight;
  });
  for (const e of [search, kind, book, ...choices]) e.addEventListener('input', apply);
  document.addEventListener('click', e => {
    const code = e.target.closest('.command');
    if (code && navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(() => {
      code.classList.add('copied');
      setTimeout(() => code.classList.remove('copied'), 1200);
    });
  });
  const measure = () => document.documentElement.style.setProperty('--filters', document.querySelector('.filters').offsetHeight + 'px');
  addEventListener('resize', measure);
  addEventListener('hashchange', follow);
  measure();
  apply();
  follow();
})();
