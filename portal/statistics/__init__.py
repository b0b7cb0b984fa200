"""Statistics of the market and risk alerts (dictionary 4).

`daily` counts what happened on a day, a bank and product; `cuts` a month by district, industry and size; `cells` hides small cells;
`clock` keeps all of it up to date, so that a page reads hundreds of rows, whatever the number of applications. `reading` sums, `plots`
draws.
`rules` says what is a risk, `watching` finds it, `alerts` is what people do about it.
"""
