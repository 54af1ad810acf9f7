// Claims a user's reward with the client that oapi-codegen generated: without a body, and with one.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"check-clients/plaudit"
)

func main() {
	user, ctx := os.Args[1], context.Background()
	authorised := plaudit.WithRequestEditorFn(func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+os.Getenv("CLIENT"))
		return nil
	})
	client, err := plaudit.NewClientWithResponses(os.Getenv("URL"), authorised)
	if err != nil {
		log.Fatal(err)
	}
	first, err := client.ClaimWithBodyWithResponse(ctx, user, "first-team", nil, "application/json", http.NoBody)
	if err != nil {
		log.Fatal(err)
	}
	if first.JSON200 == nil || len(first.JSON200.Rewards) == 0 {
		log.Fatalf("no receipt: %s", first.Body)
	}
	receipt := first.JSON200
	body := plaudit.Claim{Period: &receipt.Period, Milestone: &receipt.Milestone}
	again, err := client.ClaimWithResponse(ctx, user, "first-team", nil, body)
	if err != nil {
		log.Fatal(err)
	}
	if again.JSON200 == nil || again.JSON200.Position != receipt.Position {
		log.Fatalf("a repeated claim gets the same receipt, got %s", again.Body)
	}
	fmt.Printf("claimed %d %s for %s\n", receipt.Rewards[0].Amount, receipt.Rewards[0].Code, user)
}
