package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

// withTracing wraps h when one of OpenTelemetry's standard variables asks for traces, and returns what sends the last
// of them. Otherwise h stays as it is, and costs nothing.
func withTracing(ctx context.Context, h http.Handler) (http.Handler, func(context.Context) error, error) {
	asked := false
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		asked = asked || os.Getenv(name) != ""
	}
	if !asked || os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return h, func(context.Context) error { return nil }, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("starting traces: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return otelhttp.NewHandler(h, "winnow", otelhttp.WithTracerProvider(provider)), provider.Shutdown, nil
}
