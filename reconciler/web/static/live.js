// Keeps the page as the daemon draws it: told of news, it loads the page again
// and takes over the parts that changed. Without it the page reads whole too.
(function () {
  'use strict';
  var lostAfter = 16000, pollEvery = 15000, patience = 8000;
  var drawn = document.getElementById('drawn'), lost = document.getElementById('lost'), said = document.getElementById('said');
  var known = drawn.dataset.at, heard = Date.now(), isLost = false, stream = null, busy = false, again = false;

  function clock(d) { return d.toISOString().slice(11, 19) + ' UTC'; }

  function live() {
    heard = Date.now();
    drawn.textContent = (stream && stream.readyState === 1 ? 'Live' : 'Looks every 15 s') + '. As of ' + known + '.';
    drawn.className = 'on';
    if (!isLost) { return; }
    isLost = false;
    lost.hidden = true;
    document.body.classList.remove('is-lost');
    look();
  }

  function lose() {
    if (isLost) { return; }
    isLost = true;
    document.getElementById('lost-when').textContent = clock(new Date(heard));
    document.getElementById('lost-known').textContent = known;
    lost.hidden = false;
    document.body.classList.add('is-lost');
    drawn.textContent = 'Not live. As of ' + known + '.';
    drawn.className = 'off';
  }

  // What has the focus is found again by its id, or by where it leads.
  function mark(e) { return !e || e === document.body ? null : { id: e.id, href: e.getAttribute('href'), label: e.getAttribute('aria-label') }; }

  function refocus(m) {
    if (!m || document.activeElement && document.activeElement !== document.body) { return; }
    var all = document.querySelectorAll('a[href], [tabindex], summary');
    for (var i = 0; i < all.length; i++) {
      var e = all[i];
      if (m.id && e.id === m.id || !m.id && (m.href && e.getAttribute('href') === m.href || m.label && e.getAttribute('aria-label') === m.label)) {
        e.focus({ preventScroll: true });
        return;
      }
    }
  }

  function keep(from, to) {
    var olds = from.querySelectorAll('[data-keep]');
    for (var i = 0; i < olds.length; i++) {
      var e = to.querySelector('[data-keep="' + olds[i].dataset.keep + '"]');
      if (e && olds[i].open) { e.open = true; }
      if (e && olds[i].scrollLeft) { e.dataset.left = olds[i].scrollLeft; }
    }
  }

  function take(doc) {
    var was = document.getElementById('main'), now = doc.getElementById('main'), focus = mark(document.activeElement);
    if (!now) { return; }
    var next = document.importNode(now, true);
    keep(was, next);
    var olds = {}, parts = next.children, i;
    for (i = 0; i < was.children.length; i++) { if (was.children[i].id) { olds[was.children[i].id] = was.children[i]; } }
    // A part that is the same stays, and with it what a reader is at.
    var all = [];
    for (i = 0; i < parts.length; i++) { all.push(parts[i]); }
    all.forEach(function (part) {
      var old = part.id && olds[part.id];
      if (old && old.isEqualNode(part)) { next.replaceChild(old, part); }
    });
    was.replaceChildren.apply(was, next.childNodes);
    was.querySelectorAll('[data-left]').forEach(function (e) { e.scrollLeft = e.dataset.left; e.removeAttribute('data-left'); });
    refocus(focus);
    if (document.title !== doc.title) { document.title = doc.title; said.textContent = doc.title; }
    known = doc.getElementById('drawn').dataset.at;
  }

  function look() {
    if (busy) { again = true; return; }
    busy = true;
    var stop = new AbortController(), timer = setTimeout(function () { stop.abort(); }, patience);
    fetch(location.pathname, { cache: 'no-store', signal: stop.signal, headers: { Accept: 'text/html' } })
      .then(function (r) { return r.text(); })
      .then(function (text) { take(new DOMParser().parseFromString(text, 'text/html')); live(); }, lose)
      .then(function () {
        clearTimeout(timer);
        busy = false;
        if (again) { again = false; look(); }
      });
  }

  function listen() {
    stream = new EventSource(document.body.dataset.events);
    stream.onmessage = function (e) { if (e.data === 'news') { look(); } else { live(); } };
    stream.onerror = look; // it connects again by itself; does the daemon answer?
  }

  // A page that nobody sees takes no connection: browsers have few for a host.
  function seen() {
    if (document.hidden) {
      if (stream) { stream.close(); }
      stream = null;
    } else if (!stream) {
      listen();
      look();
    }
  }

  setInterval(function () {
    if (document.hidden) { return; }
    if (isLost || stream && stream.readyState === 2) { look(); }
    if (stream && stream.readyState === 2) { listen(); }
  }, pollEvery);
  setInterval(function () { if (!document.hidden && Date.now() - heard > lostAfter) { look(); } }, 2000);
  document.addEventListener('visibilitychange', seen);
  if (!document.hidden) { listen(); }
}());
