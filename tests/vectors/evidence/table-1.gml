graph [
 directed 1
 multigraph 1
 node [
  id 0
  label "heat"
 ]
 node [
  id 1
  label "load"
 ]
 node [
  id 2
  label "wear"
 ]
 node [
  id 3
  label "=1+1"
 ]
 node [
  id 4
  label "a &#34;b&#34; &#38; <c>"
 ]
 node [
  id 5
  label "&#38632;"
 ]
 node [
  id 6
  label "alone"
 ]
 edge [
  source 0
  target 1
  key 0
  strength 0.75
  direction 1.0
  lag 1
  endpoints "-->"
  effect -0.125
  ciLow -0.25
  ciHigh 1.0e-09
  q 1.0e-06
  i2 0.5
  vote -0.5
  support 3
  measured 4
  positive 1
  negative 3
  samples 12345678901
  status "present"
  engine "hyperfed"
  version "0.1.0"
 ]
 edge [
  source 0
  target 1
  key 1
  lag 2
  endpoints "-->"
  effect 0.5
  status "present"
  engine "hyperfed"
  version "0.1.0"
 ]
 edge [
  source 0
  target 0
  key 2
  lag 1
  endpoints "-->"
  effect 0.9
  status "present"
  engine "hyperfed"
  version "0.1.0"
 ]
 edge [
  source 1
  target 2
  key 3
  lag 0
  endpoints "-->"
  effect 1.0
  status "present"
  engine "hyperfed"
  version "0.1.0"
 ]
 edge [
  source 2
  target 3
  key 4
  lag 3
  endpoints "-->"
  status "suppressed"
  engine "hyperfed"
  version "0.1.0"
 ]
 edge [
  source 0
  target 2
  key 5
  lag 0
  endpoints "o->"
  status "present"
 ]
 edge [
  source 4
  target 5
  key 6
  lag 0
  endpoints "---"
  effect -2.0
  status "present"
 ]
 edge [
  source 0
  target 5
  key 7
  lag 0
  endpoints "<->"
  status "present"
 ]
 edge [
  source 1
  target 5
  key 8
  direction 0.5
  lag 0
  endpoints "o-o"
  status "present"
 ]
]
