module example.com/payer

go 1.19
